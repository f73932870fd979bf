"""Matrices in, products that do not show how rows were batched out."""

from __future__ import annotations

import torch
from scipy import sparse
from torch import Tensor

from reeltag.data.ragged import Ragged
from reeltag.models.layers.fused import available


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


def sparse_product(
    left: Ragged, values: Tensor, right: Tensor, columns: Tensor, start: Tensor
) -> Tensor:
    """start (H,) for each of B posts, and at `columns` (C,) of it `left` @ right (n, C): (B, H).

    left: which rows of `right` each post asks for, with `values` of all of them. A post's rows
    are added up in their order, then added to `start`.
    """
    if values.device.type == "cpu" and available():
        from reeltag.models.layers import list_kernels

        out = torch.empty(len(left), len(start))
        given = left.values, values, left.offsets, right, columns, start, out
        list_kernels.add_rows(*(part.contiguous().numpy() for part in given))
        return out
    if values.device.type == "cpu":
        parts = values.numpy(), left.values.numpy(), left.offsets.numpy()
        rows = sparse.csr_matrix(parts, shape=(len(left), len(right)))
        sums = torch.from_numpy(rows @ right.contiguous().numpy())
    else:
        added = right[left.values] * values.unsqueeze(1)
        sums = right.new_zeros(len(left), right.shape[1])
        sums.index_add_(0, left.row_of_value, added)
    return start.repeat(len(left), 1).index_add_(1, columns, sums)
