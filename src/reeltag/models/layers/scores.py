"""Scores of a catalogue as their readers need them: in full, the best of them, and of some.

Most scorers have something to say of a few hundred hashtags and leave the rest in the order of
their uses. `Listed` holds just that, so that the cost of a post is that of what is said.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from reeltag.data.ragged import Ragged
from reeltag.models.layers.fused import available
from reeltag.models.layers.top import top_k


class Scores(ABC):
    """Scores of H hashtags for each of B posts."""

    @abstractmethod
    def whole(self) -> Tensor:
        """All of them (B, H)."""

    @abstractmethod
    def top(self, most: int, order: Tensor) -> Tensor:
        """The best hashtags of each post (B, most), best first, equal ones by their ids.

        order (H,): all hashtags by falling uses, equal ones by their ids.
        """

    @abstractmethod
    def at(self, hashtags: Tensor) -> Tensor:
        """Of each post's own `hashtags` (B, C): (B, C)."""


@dataclass(frozen=True)
class Whole(Scores):
    """All of them in one table (B, H)."""

    table: Tensor

    def whole(self) -> Tensor:
        return self.table

    def top(self, most: int, order: Tensor) -> Tensor:
        return top_k(self.table, most)

    def at(self, hashtags: Tensor) -> Tensor:
        return self.table.gather(1, hashtags)


@dataclass(frozen=True)
class Listed(Scores):
    """score(p, j) = the value of j in p's list, and scale_p · usual_j where it has none.

    rows: distinct hashtags of each of B posts, values (m,) theirs; usual (H,) rises with the
    uses of hashtags, more uses never less; scale (B,) above 0, 1 where there is none.
    """

    rows: Ragged
    values: Tensor
    usual: Tensor
    scale: Tensor | None = None

    def whole(self) -> Tensor:
        if self.scale is None:
            table = self.usual.repeat(len(self.rows), 1)
        else:
            table = self.scale.unsqueeze(1) * self.usual
        flat = self.rows.row_of_value * len(self.usual) + self.rows.values
        table.view(-1)[flat] = self.values
        return table

    def top(self, most: int, order: Tensor) -> Tensor:
        if not _compiled(self.values):
            return top_k(self.whole(), most)
        from reeltag.models.layers import top_kernels

        best = torch.empty(len(self.rows), most, dtype=torch.int64)
        top_kernels.top_listed(*self._arrays, order.numpy(), best.numpy())
        return best

    def at(self, hashtags: Tensor) -> Tensor:
        if not _compiled(self.values):
            return self.whole().gather(1, hashtags)
        from reeltag.models.layers import top_kernels

        found = torch.empty(hashtags.shape)
        top_kernels.at_listed(*self._arrays, hashtags.contiguous().numpy(), found.numpy())
        return found

    @cached_property
    def _arrays(self) -> list[object]:
        scale = torch.ones(len(self.rows)) if self.scale is None else self.scale
        parts = self.rows.values, self.values, self.rows.offsets, self.usual, scale
        return [part.contiguous().numpy() for part in parts]


def listed_sums(
    lists: Ragged,
    weights: Tensor | None,
    posts: int,
    owner: Tensor,
    asked: Tensor,
    weight: Tensor,
    start: Tensor,
    largest: bool = False,
) -> tuple[Ragged, Tensor]:
    """start_c + Σ_l weight_pl · (weight of column c in list l), of the columns in any list

    that a post asks for: distinct columns of each post, and their sums (m,). With `largest`
    it is the largest of these products, and of start_c, rather than their sum.

    lists: L rows of columns; weights of their values, 1 without. (k,) each: `owner`, the post
    that asks, ascending; `asked`, the list; `weight` of it. start (columns,).
    """
    if weights is None:
        weights = lists.values.new_ones((), dtype=torch.float32).expand(len(lists.values))
    if _compiled(weight):
        from reeltag.models.layers import listed_kernels

        given = lists.values, weights, lists.offsets, owner, asked, weight, start
        columns, offsets, sums = listed_kernels.add_listed(
            *(part.numpy() for part in given), posts, largest
        )
        parts = torch.from_numpy(columns), torch.from_numpy(offsets)
        return Ragged(*parts), torch.from_numpy(sums)
    where, of = lists.positions(asked)
    values = weight[of] * weights[where]
    keys, place = torch.unique(owner[of] * len(start) + lists.values[where], return_inverse=True)
    row, column = keys // len(start), keys % len(start)
    found = start[column]
    if largest:
        found = found.scatter_reduce(0, place, values, "amax")
    else:
        found = found.index_add(0, place, values)
    return Ragged.from_pairs(row, column, posts), found


def _compiled(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and available()
