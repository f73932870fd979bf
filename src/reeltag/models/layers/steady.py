"""Matrices in, products that do not show how rows were batched out."""

from __future__ import annotations

import torch
from scipy import sparse
from torch import Tensor

from reeltag.data.ragged import Ragged


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


def sparse_product(left: Ragged, values: Tensor, right: Tensor) -> Tensor:
    """left, B rows of columns with `values`, @ right (n, C): each row is added up in its order."""
    if values.device.type == "cpu":
        parts = values.numpy(), left.values.numpy(), left.offsets.numpy()
        rows = sparse.csr_matrix(parts, shape=(len(left), len(right)))
        return torch.from_numpy(rows @ right.contiguous().numpy())
    added = right[left.values] * values.unsqueeze(1)
    empty = right.new_zeros(len(left), right.shape[1])
    return empty.index_add_(0, left.row_of_value, added)
