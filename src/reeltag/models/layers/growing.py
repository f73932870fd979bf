"""Tables in, longer tables out: for users, hashtags and posts that come after `fit`."""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.data.ragged import Ragged, inserted


def longer(table: Tensor, rows: int, fill: int = 0) -> Tensor:
    """`table` (m, ...) with rows of `fill` at the end, `rows` in all."""
    return torch.cat([table, table.new_full((rows - len(table), *table.shape[1:]), fill)])


def by_use(uses: Tensor, weight: float = 1.0) -> Tensor:
    """weight · uses / (1 + most uses): an order of hashtags (H,) that stays below `weight`."""
    exact = uses.double()
    return (weight * exact / (1 + exact.max())).float()


class Room:
    """Memory behind one table to which rows are added again and again.

    Adding copies the table only when the memory is used up, and then makes it twice as long, so
    that a row costs a row. The table is a view of the memory's beginning; one that lies
    elsewhere, because it was loaded or moved, is copied first.
    """

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def with_rows(self, table: Tensor, rows: Tensor) -> Tensor:
        """`table` (m, ...) with `rows` (k, ...) at the end."""
        count, memory = len(table) + len(rows), self._memory
        if (
            memory is None
            or memory.device != table.device
            or memory.data_ptr() != table.data_ptr()
            or len(memory) < count
        ):
            memory = table.new_empty(2 * count, *table.shape[1:])
            memory[: len(table)] = table
            self._memory = memory
        memory[len(table) : count] = rows
        return memory[:count]


def with_pairs(
    pairs: Ragged, counts: Tensor, rows: Tensor, columns: Tensor
) -> tuple[Ragged, Tensor]:
    """Pairs (row, column) and how often each was seen (m,), with (k,) more of them seen.

    The columns of a row ascend and are distinct, before and after.
    """
    chosen, of = torch.unique(rows, return_inverse=True)
    near = pairs.select(chosen)
    width = 1 + int(torch.cat([near.values, columns]).max()) if len(columns) else 1
    held = near.row_of_value * width + near.values
    keys, times = torch.unique(of * width + columns, return_counts=True)
    row, place = keys // width, torch.searchsorted(held, keys)
    old = torch.cat([held, held.new_full((1,), -1)])[place] == keys
    place = place + (pairs.offsets[chosen] - near.offsets[:-1])[row]
    counts = counts.index_add(0, place[old], times[old].to(counts.dtype))
    new = ~old
    grown = Ragged(
        inserted(pairs.values, place[new], keys[new] % width),
        pairs.offsets_with(chosen[row[new]]),
    )
    return grown, inserted(counts, place[new], times[new])
