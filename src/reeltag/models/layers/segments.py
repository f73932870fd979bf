"""Values grouped by segment in, one value a segment out: sum, mean, max and softmax.

`segment` (e,) names each row's segment in [0, n). Empty segments give zeros. On the CPU
and with torch's deterministic mode on CUDA the results do not depend on thread timing.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Aggregation = Literal["mean", "add", "max"]


def segment_sum(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Sum of the rows (e, ...) of each segment: (count, ...)."""
    return values.new_zeros((count, *values.shape[1:])).index_add(0, segment, values)


def segment_sizes(segment: Tensor, count: int) -> Tensor:
    """Rows of each segment (count,); unlike bincount it never waits for the device."""
    return segment.new_zeros(count).index_add(0, segment, torch.ones_like(segment))


def segment_max(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Largest entry of each column in each segment, zeros for empty segments."""
    index = segment.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    empty = values.new_zeros((count, *values.shape[1:]))
    return empty.scatter_reduce(0, index, values, "amax", include_self=False)


def segment_softmax(logits: Tensor, segment: Tensor, count: int) -> Tensor:
    """Softmax of `logits` (e,) within each segment."""
    shift = segment_max(logits.detach(), segment, count)
    # index_select, not [...]: its gradient is one index_add instead of a sort.
    weights = (logits - shift.index_select(0, segment)).exp()
    return weights / segment_sum(weights, segment, count).index_select(0, segment)


def aggregate(
    values: Tensor, segment: Tensor, count: int, how: Aggregation, sizes: Tensor | None = None
) -> Tensor:
    """Aggregate rows by segment; `sizes` (count,) replaces the row count of the mean."""
    if how == "max":
        return segment_max(values, segment, count)
    total = segment_sum(values, segment, count)
    if how == "add":
        return total
    if sizes is None:
        sizes = segment_sizes(segment, count)
    return total / sizes.clamp(min=1).unsqueeze(1).to(total.dtype)
