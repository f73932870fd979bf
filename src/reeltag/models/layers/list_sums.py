"""Lists of weighted columns in, weighted sums of the lists that posts ask for out."""

from __future__ import annotations

import torch
from scipy import sparse
from torch import Tensor

from reeltag.data.ragged import Ragged
from reeltag.models.layers.fused import available

_AT_ONCE = 1 << 24
"""Entries of the lists looked at in one go."""


class ListSums:
    """sums(p, c) = Σ_l weight_pl · (weight of column c in list l),  (posts, columns)

    over the lists that a post asks for: the cost is their length, not the number of columns
    times that of lists. On the CPU it is a loop that numba compiles, where it is installed, else
    a product of sparse matrices; both add up the lists of a post in their order, as the loop
    over blocks elsewhere does.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[Tensor, ...], sparse.csr_matrix] | None = None

    def __call__(
        self,
        lists: Ragged,
        weights: Tensor,
        columns: int,
        posts: int,
        owner: Tensor,
        asked: Tensor,
        weight: Tensor,
        into: Tensor | None = None,
    ) -> Tensor:
        """Sum `lists` (L rows of columns) with `weights` of their values.

        (m,) each: `owner`, the post that asks, ascending; `asked`, the list; `weight` of it.
        into: a table (posts, columns) to which it is all added, which is then given back: list by
        list where it is compiled, else at once, so that last digits may differ.
        """
        if weights.device.type == "cpu":
            offsets = torch.searchsorted(owner, torch.arange(posts + 1))
            if available():
                sums = torch.zeros(posts, columns) if into is None else into
                return _compiled(lists, weights, offsets, asked, weight, sums)
            parts = weight.numpy(), asked.int().numpy(), offsets.int().numpy()
            rows = sparse.csr_matrix(parts, shape=(posts, len(lists)))
            table = rows @ self._table(lists, weights, columns)
            sums = torch.from_numpy(table.toarray())
            return sums if into is None else into.add_(sums)
        sums = torch.zeros(posts, columns, device=weights.device) if into is None else into
        if not len(asked) or not columns:
            return sums
        ends = torch.cumsum(lists.lengths_of(asked), 0)
        start = 0
        while start < len(asked):  # as many lists at once as a bounded number of entries allows
            before = ends[start - 1] if start else ends.new_zeros(())
            end = max(start + 1, int(torch.searchsorted(ends, before + _AT_ONCE, right=True)))
            where, of = lists.positions(asked[start:end])
            flat = owner[start:end][of] * columns + lists.values[where]
            sums.view(-1).index_add_(0, flat, weight[start:end][of] * weights[where])
            start = end
        return sums

    def _table(self, lists: Ragged, weights: Tensor, columns: int) -> sparse.csr_matrix:
        """The lists as scipy has them, made again when they were replaced."""
        parts = weights, lists.values, lists.offsets
        if self._made is None or any(a is not b for a, b in zip(self._made[0], parts, strict=True)):
            arrays = tuple(part.numpy() for part in parts)
            table = sparse.csr_matrix(arrays, shape=(len(lists), columns), copy=False)
            self._made = parts, table
        self._made[1].resize(len(lists), columns)  # columns that were added have no entry yet
        return self._made[1]


def _compiled(
    lists: Ragged, weights: Tensor, offsets: Tensor, asked: Tensor, weight: Tensor, sums: Tensor
) -> Tensor:
    from reeltag.models.layers import list_kernels

    parts = lists.values, weights, lists.offsets, offsets, asked, weight, sums
    list_kernels.add_lists(*(part.numpy() for part in parts))
    return sums
