"""Blocks of rows in, mean and deviation of each column out."""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Mean and 1 / deviation of `width` columns over rows that come in blocks.

    Sums are kept in float64. A column that does not vary, or was never seen, has scale 1.
    """

    def __init__(self, width: int) -> None:
        self.total = torch.zeros(width, dtype=torch.float64)
        self.squares = torch.zeros(width, dtype=torch.float64)
        self.seen = torch.zeros(width, dtype=torch.float64)

    def add(self, rows: Tensor, there: Tensor | None = None) -> None:
        """Rows (n, width); `there` (n, width) is false where a row, zero then, does not count."""
        values = rows.double()
        self.total += values.sum(0)
        self.squares += values.square().sum(0)
        self.seen += len(rows) if there is None else there.sum(0)

    def result(self) -> tuple[Tensor, Tensor]:
        """Mean (width,) and scale (width,), float32."""
        count = self.seen.clamp(min=1)
        mean = self.total / count
        deviation = (self.squares / count - mean.square()).clamp(min=0).sqrt()
        scale = torch.where(deviation > 1e-6, 1 / deviation, 1.0)
        return mean.float(), scale.float()
