"""Scores in, ranked hashtags out: exact top-k in blocks, equal scores towards the lower id."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, Posts
from reeltag.models.contract import Model

DEFAULT_BUDGET = 256 << 20
"""Bytes that scores of one block of posts may take."""


def top_k(scores: Tensor, k: int) -> Tensor:
    """Column numbers of the k largest scores of each row (B, min(k, C)), best first.

    Equal scores are ordered by column, so the result is that of a full stable sort.
    Not-a-number ranks last.
    """
    k = min(k, scores.shape[1])
    found = torch.topk(scores, min(k + 1, scores.shape[1]), dim=1)
    values, indices = found.values[:, :k], found.indices[:, :k]
    # topk may pick any column among scores equal at the border, and calls not-a-number the
    # largest: settle those rows by a full stable sort.
    unclear = values.isnan().any(1)
    if found.values.shape[1] > k:
        unclear |= found.values[:, k] == found.values[:, k - 1]
    rows = unclear.nonzero().squeeze(1)
    if len(rows):
        doubtful = scores[rows].nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        ordered = torch.sort(doubtful, dim=1, descending=True, stable=True)
        values, indices = values.clone(), indices.clone()
        values[rows], indices[rows] = ordered.values[:, :k], ordered.indices[:, :k]
    by_column = torch.sort(indices, dim=1)
    values = values.gather(1, by_column.indices)
    by_value = torch.sort(values, dim=1, descending=True, stable=True)
    return by_column.values.gather(1, by_value.indices)


def rank_of(scores: Tensor, columns: Tensor) -> Tensor:
    """1-based rank of `columns` (B,) among the columns of each row, ties by column."""
    own = scores.gather(1, columns.unsqueeze(1))
    before = torch.arange(scores.shape[1], device=scores.device) < columns.unsqueeze(1)
    return 1 + ((scores > own) | ((scores == own) & before)).sum(1)


def block_size(model: Model, budget: int = DEFAULT_BUDGET) -> int:
    """How many posts are scored at once under a memory budget of `budget` bytes."""
    return max(1, min(4096, budget // max(1, model.bytes_per_post())))


def blocks_of(
    model: Model, corpus: Corpus, posts: Posts, size: int
) -> Iterator[tuple[Tensor, PostBatch]]:
    """Walk `posts` in blocks of `size`: positions (b,) and model input on the model's device."""
    for start in range(0, len(posts), size):
        index = torch.arange(start, min(start + size, len(posts)))
        yield index, corpus.batch(posts, index).to(model.device)
