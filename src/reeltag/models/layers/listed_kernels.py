"""Lists of columns in, sums by column of the lists that rows ask for out: `listed_sums`' loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled
from reeltag.models.layers.list_kernels import AHEAD, fetch


@compiled
def add_listed(
    columns: Any,
    weights: Any,
    starts: Any,
    owner: Any,
    asked: Any,
    weight: Any,
    start: Any,
    rows: int,
    largest: bool,
) -> Any:
    """Row owner[k] (ascending) asks for list asked[k]; list l begins at starts[l].

    Returns the distinct columns of each row, where the rows begin (rows + 1,), and what `start`
    and the lists say of each column.
    """
    offsets = np.searchsorted(owner, np.arange(rows + 1))
    room = np.zeros(rows + 1, np.int64)
    for p in range(rows):
        most = 0
        for k in range(offsets[p], offsets[p + 1]):
            most += starts[asked[k] + 1] - starts[asked[k]]
        room[p + 1] = room[p] + min(most, len(start))
    found = np.empty(room[rows], np.int64)
    values = np.empty(room[rows], np.float32)
    counts = np.zeros(rows, np.int64)
    for p in prange(rows):
        total = np.empty(len(start), np.float32)
        seen = np.zeros(len(start), np.bool_)
        first, count = room[p], 0
        for k in range(offsets[p], offsets[p + 1]):
            if k + AHEAD < len(asked):
                following = asked[k + AHEAD]
                fetch(columns, weights, starts[following], starts[following + 1])
            by = weight[k]
            for place in range(starts[asked[k]], starts[asked[k] + 1]):
                at = np.uint64(place)  # none is counted from the end
                column, value = np.uint64(columns[at]), by * weights[at]
                if not seen[column]:
                    seen[column] = True
                    total[column] = start[column]
                    found[first + count] = np.int64(column)
                    count += 1
                if not largest:
                    total[column] += value
                elif value > total[column]:
                    total[column] = value
        for i in range(first, first + count):
            values[i] = total[found[i]]
        counts[p] = count
    ends = np.zeros(rows + 1, np.int64)
    for p in range(rows):  # close the gaps: there was room for columns that are not distinct
        ends[p + 1] = ends[p] + counts[p]
        for i in range(counts[p]):
            found[ends[p] + i] = found[room[p] + i]
            values[ends[p] + i] = values[room[p] + i]
    return found[: ends[rows]], ends, values[: ends[rows]]
