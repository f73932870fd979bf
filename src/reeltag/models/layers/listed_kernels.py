"""Arrays in, sums by column written one row after the other: the loops of `listed_sums`."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange

_compiled: Any = numba.njit(parallel=True, cache=True)


@_compiled
def add_listed(
    columns: Any,
    weights: Any,
    starts: Any,
    offsets: Any,
    asked: Any,
    weight: Any,
    start: Any,
    largest: Any,
    room: Any,
    found: Any,
    values: Any,
    counts: Any,
) -> None:
    """Row p asks for lists `asked[offsets[p]:offsets[p + 1]]`; list l begins at `starts[l]`.

    Its distinct columns go to `found`, and what `start` and the lists say of each to `values`,
    both from room[p] on; how many they are, to `counts`.
    """
    for p in prange(len(counts)):
        total = np.empty(len(start), np.float32)
        seen = np.zeros(len(start), np.bool_)
        first, count = room[p], 0
        for k in range(offsets[p], offsets[p + 1]):
            for place in range(starts[asked[k]], starts[asked[k] + 1]):
                column, value = columns[place], weight[k] * weights[place]
                if not seen[column]:
                    seen[column] = True
                    total[column] = start[column]
                    found[first + count] = column
                    count += 1
                if not largest:
                    total[column] += value
                elif value > total[column]:
                    total[column] = value
        for i in range(first, first + count):
            values[i] = total[found[i]]
        counts[p] = count


@_compiled
def moved_up(room: Any, offsets: Any, found: Any, values: Any, columns: Any, out: Any) -> None:
    """Rows that begin at `room` with space between them, into rows that begin at `offsets`."""
    for p in prange(len(offsets) - 1):
        for i in range(offsets[p + 1] - offsets[p]):
            columns[offsets[p] + i] = found[room[p] + i]
            out[offsets[p] + i] = values[room[p] + i]
