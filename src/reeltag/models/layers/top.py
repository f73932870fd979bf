"""Scores in, the columns of the largest of each row out, and where in that order a column stands.

Equal scores are ordered by column; what is no number is last, as -inf is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.models.layers.fused import available

_FEW, _SMALL = 32, 1 << 16
"""Up to so many of them, of a table of so many scores, torch is fast enough to compile nothing."""


def top_k(scores: Tensor, k: int) -> Tensor:
    """Column numbers of the k largest scores of each row (B, min(k, C)), best first.

    The result is that of a full stable sort.
    """
    k = min(k, scores.shape[1])
    if _plain(scores) and (k > _FEW or scores.numel() > _SMALL) and available():
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


def rank_of(scores: Tensor, columns: Tensor) -> Tensor:
    """1-based rank of `columns` (B,) among the columns of each row of scores (B, H): (B,)."""
    if _plain(scores) and scores.numel() > _SMALL and available():
        from reeltag.models.layers import top_kernels

        ranks = torch.empty(len(scores), dtype=torch.int64)
        top_kernels.ranks(scores.detach().contiguous().numpy(), columns.numpy(), ranks.numpy())
        return ranks
    scores = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    own = scores.gather(1, columns.unsqueeze(1))
    before = torch.arange(scores.shape[1], device=scores.device) < columns.unsqueeze(1)
    return 1 + ((scores > own) | ((scores == own) & before)).sum(1)


def _plain(scores: Tensor) -> bool:
    return scores.device.type == "cpu" and scores.dtype == torch.float32
