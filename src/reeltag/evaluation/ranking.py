"""Posts in, blocks of them out, as many at once as memory allows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, Posts
from reeltag.models.contract import Model

DEFAULT_BUDGET = 256 << 20
"""Bytes that scores of one block of posts may take."""


def block_size(model: Model, budget: int = DEFAULT_BUDGET) -> int:
    """How many posts are scored at once under a memory budget of `budget` bytes."""
    return max(1, min(4096, budget // max(1, model.bytes_per_post())))


def blocks_of(
    model: Model, corpus: Corpus, posts: Posts, size: int, first: int = 0, every: int = 1
) -> Iterator[tuple[Tensor, PostBatch]]:
    """Walk `posts` in blocks of `size`: positions (b,) and model input on the model's device.

    From block number `first` on, one in `every` blocks.
    """
    for start in range(first * size, len(posts), every * size):
        index = torch.arange(start, min(start + size, len(posts)))
        yield index, corpus.batch(posts, index).to(model.device)
