"""Matrices in, products that do not show how rows were batched out."""

from __future__ import annotations

import torch
from scipy import sparse
from torch import Tensor

from reeltag.data.ragged import Ragged

_GRID = 1 << 11


class SteadyProduct:
    """left (B, n) @ right (n, C), summed in float64 and given back in left's type.

    Libraries sum in an order that depends on the number of rows. In float32 that moves the
    last digits, which is enough to change places among hashtags that are all but equal, and
    places are what a second stage looks at. Where the device has no float64 it is float32.

    The float64 copy of the right matrix is made once for each.
    """

    def __init__(self) -> None:
        self._made: tuple[Tensor, Tensor] | None = None

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        if left.device.type == "mps":
            return left @ right
        if self._made is None or self._made[0] is not right:
            self._made = right, right.double()
        product: Tensor = (left.double() @ self._made[1]).to(left.dtype)
        return product


class GridProduct:
    """left (B, n) @ right (n, C) by rows of left and columns of right on the grid (`on_grid`).

        |l| |r| (g(l / |l|) · g(r / |r|)),   g rounds to multiples of 2⁻¹¹

    In float32 and so twice as fast as `SteadyProduct`, and as steady; off by about 10⁻⁴ |l| |r|.
    The rounded copy of the right matrix is made once for each.
    """

    def __init__(self) -> None:
        self._made: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        if left.device.type == "mps":
            return left @ right
        if self._made is None or self._made[0] is not right:
            self._made = right, *_unit(right, 0)
        rows, lengths = _unit(left, 1)
        product: Tensor = rows @ self._made[1]
        return product.mul_(lengths).mul_(self._made[2])


def _unit(vectors: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Vectors along `dim` at length 1, on the grid, and how long they were."""
    exact = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True, dtype=torch.float64)
    lengths = exact.to(vectors.dtype)
    return on_grid(vectors / lengths.clamp(min=1e-12)), lengths


def sparse_product(left: Ragged, values: Tensor, right: Tensor) -> Tensor:
    """left, B rows of columns with `values`, @ right (n, C): each row is added up in its order."""
    if values.device.type == "cpu":
        parts = values.numpy(), left.values.numpy(), left.offsets.numpy()
        rows = sparse.csr_matrix(parts, shape=(len(left), len(right)))
        return torch.from_numpy(rows @ right.contiguous().numpy())
    added = right[left.values] * values.unsqueeze(1)
    empty = right.new_zeros(len(left), right.shape[1])
    return empty.index_add_(0, left.row_of_value, added)


def on_grid(vectors: Tensor) -> Tensor:
    """Vectors of length 1 or less, rounded to multiples of 2⁻¹¹, which float16 holds too.

    Products of two numbers are then multiples of 2⁻²², and a sum of them that stays below 2 is
    exact in float32 whatever the order: an inner product does not show how rows were batched,
    and is off by about 10⁻⁴.
    """
    return (vectors * _GRID).round() / _GRID
