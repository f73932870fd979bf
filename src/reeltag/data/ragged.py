"""Lists of different lengths as two tensors: values one after the other, and where each starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_STRETCH = 1000
"""Values between two new ones from which on copying them stretch by stretch is faster."""


@dataclass(frozen=True)
class Ragged:
    """Row n owns `values[offsets[n]:offsets[n + 1]]` (the layout of a CSR matrix's indices).

    Shapes: values (m,) int64, offsets (rows + 1,) int64.
    """

    values: Tensor
    offsets: Tensor

    @staticmethod
    def from_pairs(rows: Tensor, values: Tensor, count: int) -> Ragged:
        """Build from parallel row numbers and values; `count` rows, order in a row is kept."""
        order = torch.argsort(rows, stable=True)
        lengths = torch.bincount(rows, minlength=count)
        offsets = torch.zeros(count + 1, dtype=torch.int64, device=rows.device)
        torch.cumsum(lengths, 0, out=offsets[1:])
        return Ragged(values[order], offsets)

    @staticmethod
    def from_lists(rows: Sequence[Sequence[int]]) -> Ragged:
        """Build from a list of values for each row."""
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        values = torch.tensor([value for row in rows for value in row], dtype=torch.int64)
        owner = torch.repeat_interleave(torch.arange(len(rows)), lengths)
        return Ragged.from_pairs(owner, values, len(rows))

    @staticmethod
    def empty(count: int = 0) -> Ragged:
        """`count` rows without values."""
        return Ragged(torch.zeros(0, dtype=torch.int64), torch.zeros(count + 1, dtype=torch.int64))

    @staticmethod
    def chained(parts: Sequence[Ragged]) -> Ragged:
        """The rows of all `parts`, one or more, in their order."""
        lengths = torch.cat([part.lengths for part in parts])
        offsets = lengths.new_zeros(len(lengths) + 1)
        torch.cumsum(lengths, 0, out=offsets[1:])
        return Ragged(torch.cat([part.values for part in parts]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Length of each row (rows,)."""
        return self.offsets[1:] - self.offsets[:-1]

    def lengths_of(self, rows: Tensor) -> Tensor:
        """Length of each of `rows` (n,)."""
        return self.offsets[rows + 1] - self.offsets[rows]

    @property
    def row_of_value(self) -> Tensor:
        """The row each value belongs to (m,)."""
        rows = torch.arange(len(self), device=self.offsets.device)
        # The size is known: the device need not be asked for it.
        return torch.repeat_interleave(rows, self.lengths, output_size=len(self.values))

    def positions(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Where the values of `rows` (n,) lie.

        Returns `(positions, owner)`, both (k,): index into `values`, and the position in
        `rows` that the value belongs to. No Python loop, no host sync beyond the size k.
        """
        return spans(self.offsets[rows], self.lengths_of(rows))

    def sampled(self, rows: Tensor, most: int, padded: bool = False) -> tuple[Tensor, Tensor]:
        """As `positions`, but at most `most` values of a row, drawn anew at each call.

        A long row gives `most` different values: a stretch from a random start, around its
        end. Each value is as likely as any other; shuffle rows once to make stretches random.
        Draws from torch's global generator.

        `padded`: exactly `most` places for each row, owner n where a short row has no value
        for it (position 0). Sizes are then known beforehand, and no device waits for the host.
        """
        lengths = self.lengths_of(rows)
        start = (torch.rand(len(rows), device=rows.device) * lengths).long()
        if not padded:
            taken = lengths.clamp(max=most)
            owner = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), taken)
            first = torch.cumsum(taken, 0) - taken
            slot = torch.arange(len(owner), device=rows.device) - first[owner]
            place = (start[owner] + slot) % lengths[owner]
            return self.offsets[rows][owner] + place, owner
        slots = torch.arange(most, device=rows.device)
        filled = slots < lengths.unsqueeze(1)
        place = (start.unsqueeze(1) + slots) % lengths.clamp(min=1).unsqueeze(1)
        place = torch.where(filled, self.offsets[rows].unsqueeze(1) + place, place.new_zeros(()))
        owner = torch.arange(len(rows), device=rows.device).unsqueeze(1)
        owner = torch.where(filled, owner, owner.new_full((), len(rows)))
        return place.flatten(), owner.flatten()

    def select(self, rows: Tensor) -> Ragged:
        """The rows named, in that order."""
        if not len(self.values):
            return Ragged(self.values, self.offsets.new_zeros(len(rows) + 1))
        positions, _ = self.positions(rows)
        offsets = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)
        torch.cumsum(self.lengths_of(rows), 0, out=offsets[1:])
        return Ragged(self.values[positions], offsets)

    def padded(self, fill: int = -1) -> Tensor:
        """A (rows, longest) table, short rows filled with `fill` at the end."""
        width = int(self.lengths.max()) if len(self) else 0
        table = self.values.new_full((len(self), width), fill)
        rows = self.row_of_value
        table[rows, torch.arange(len(self.values), device=rows.device) - self.offsets[rows]] = (
            self.values
        )
        return table

    def dense(self, columns: int) -> Tensor:
        """A (rows, columns) boolean table, true where the row holds the column."""
        table = torch.zeros(len(self), columns, dtype=torch.bool, device=self.values.device)
        table[self.row_of_value, self.values] = True
        return table

    def to(self, device: torch.device | str) -> Ragged:
        """The same on another device."""
        return Ragged(self.values.to(device), self.offsets.to(device))

    def longer(self, count: int) -> Ragged:
        """The same with empty rows at the end, `count` rows in all."""
        ends = self.offsets[-1:].expand(count - len(self))
        return Ragged(self.values, torch.cat([self.offsets, ends]))

    def joined(self, other: Ragged) -> Ragged:
        """These rows, then those of `other`."""
        offsets = torch.cat([self.offsets, self.offsets[-1] + other.offsets[1:]])
        return Ragged(torch.cat([self.values, other.values]), offsets)

    def with_added(self, rows: Tensor, values: Tensor) -> Ragged:
        """The same with `values` (k,) at the ends of their `rows` (k,), in the order given."""
        order = torch.argsort(rows, stable=True)
        grown = inserted(self.values, self.offsets[rows[order] + 1], values[order])
        return Ragged(grown, self.offsets_with(rows))

    def offsets_with(self, rows: Tensor) -> Tensor:
        """Where each row starts once each of `rows` (k,) has a value more."""
        added = torch.bincount(rows, minlength=len(self))
        return torch.cat([self.offsets[:1], self.offsets[1:] + torch.cumsum(added, 0)])


def spans(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Every position in n stretches (k,), and the stretch it is of (k,)."""
    count = torch.arange(len(starts), device=starts.device)
    owner = torch.repeat_interleave(count, lengths)
    first = starts - (torch.cumsum(lengths, 0) - lengths)
    return first[owner] + torch.arange(len(owner), device=starts.device), owner


def inserted(table: Tensor, places: Tensor, entries: Tensor) -> Tensor:
    """`table` (m,) with `entries` (k,) put before its positions `places` (k,), which ascend."""
    if 0 < _STRETCH * len(places) <= len(table):
        *before, rest = table.tensor_split(places.cpu())
        pairs = zip(before, torch.split(entries.to(table.dtype), 1), strict=True)
        return torch.cat([piece for pair in pairs for piece in pair] + [rest])
    at = places + torch.arange(len(places), device=places.device)
    grown = table.new_empty(len(table) + len(entries))
    kept = torch.ones(len(grown), dtype=torch.bool, device=table.device)
    kept[at] = False
    grown[at] = entries.to(table.dtype)
    return grown.masked_scatter_(kept, table)
