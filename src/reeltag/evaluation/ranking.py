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
    scores = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    values, indices = torch.topk(scores, k, dim=1)
    # Among equal scores at the border topk may pick any column: settle those rows.
    last = values[:, -1:]
    unclear = (scores == last).sum(1) > (values == last).sum(1)
    rows = unclear.nonzero().squeeze(1)
    if len(rows):
        ordered = torch.sort(scores[rows], dim=1, descending=True, stable=True)
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
