"""Scores in, the columns of the largest of each row out; equal scores towards the lower column."""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.models.layers.fused import available

_FEW = 32
"""Up to so many of them torch is as fast."""


def top_k(scores: Tensor, k: int) -> Tensor:
    """Column numbers of the k largest scores of each row (B, min(k, C)), best first.

    Equal scores are ordered by column, so the result is that of a full stable sort.
    Not-a-number ranks last.
    """
    k = min(k, scores.shape[1])
    plain = scores.device.type == "cpu" and scores.dtype == torch.float32
    if k > _FEW and plain and available():
        from reeltag.models.layers import top_kernels

        best = torch.empty(len(scores), k, dtype=torch.int64)
        top_kernels.top_columns(scores.detach().contiguous().numpy(), best.numpy())
        return best
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
