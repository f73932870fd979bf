"""Vectors of length 1 or less, rounded to a grid on which inner products are exact.

Numbers are multiples of 2⁻¹¹. Products of two of them are multiples of 2⁻²², and a sum that stays
below 2 is exact in float32 whatever the order: an inner product does not show how rows were
batched, and is off by about 10⁻⁴. As whole numbers of 16 bits they take half the memory, and on
a processor one post's products a seventh of the time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.models.layers.fused import available

_GRID = 1 << 11
_PIECE = 1024
"""Rows of which such numbers are made at once: they stay near the processor."""


def on_grid(vectors: Tensor) -> Tensor:
    """The nearest multiples of 2⁻¹¹, which float16 holds too."""
    return (vectors * _GRID).round() / _GRID


def grid_counts(vectors: Tensor) -> Tensor:
    """How many times 2⁻¹¹ each number of vectors of length 1 or less is: int16."""
    return (vectors * _GRID).round().to(torch.int16)


def grid_product(left: Tensor, right: Tensor) -> Tensor:
    """left (B, n) rightᵀ of `grid_counts` (B, n) and (C, n): float32 (B, C)."""
    unit = 1.0 / _GRID**2
    if left.device.type == "cpu" and available():
        import numpy as np

        from reeltag.models.layers import grid_kernels

        out = torch.empty(len(left), len(right))
        arrays = (part.contiguous().numpy() for part in (left, right))
        grid_kernels.inner_products(*arrays, np.float32(unit), out.numpy())
        return out
    out = torch.empty(len(left), len(right), device=left.device)
    rows, start = left.float() * unit, 0
    for some in torch.split(right, _PIECE if left.device.type == "cpu" else max(1, len(right))):
        out[:, start : start + len(some)] = rows @ some.float().T
        start += len(some)
    return out


class GridProduct:
    """left (B, n) @ right (n, C) by rows of left and columns of right on the grid.

        |l| |r| (g(l / |l|) · g(r / |r|)),   g rounds to multiples of 2⁻¹¹

    Faster than `SteadyProduct`, and as steady; off by about 10⁻⁴ |l| |r|. The rounded copy of the
    right matrix is made once for each.
    """

    def __init__(self) -> None:
        self._made: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        if self._made is None or self._made[0] is not right:
            self._made = right, *_unit(right.T.contiguous())
        rows, lengths = _unit(left)
        product = grid_product(rows, self._made[1])
        return product.mul_(lengths).mul_(self._made[2].T)


def _unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (m, n) at length 1, as counts, and how long they were (m, 1)."""
    kind = torch.float32 if vectors.device.type == "mps" else torch.float64
    exact = torch.linalg.vector_norm(vectors, dim=1, keepdim=True, dtype=kind)
    lengths = exact.to(vectors.dtype)
    return grid_counts(vectors / lengths.clamp(min=1e-12)), lengths
