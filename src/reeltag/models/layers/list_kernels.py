"""Arrays in, sums of lists and of rows written into `out`: loops that numba compiles for

`ListSums` and `sparse_product`. Numbers are added in the order in which a product of sparse
matrices adds them: equal bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled, prefetch

AHEAD = 4
"""Lists ahead of the one that is added are fetched: they begin anywhere in memory."""
_FETCHED, _LINE = 128, 8
"""Numbers of a list that are fetched; so many are fetched together."""


@numba.njit(cache=True)
def fetch(columns: Any, weights: Any, first: Any, last: Any) -> None:
    """Have the list from `first` to `last` at hand soon."""
    for place in range(first, min(last, first + _FETCHED), _LINE):
        prefetch(columns, place)
        prefetch(weights, place)


@compiled
def add_lists(
    columns: Any, weights: Any, starts: Any, offsets: Any, asked: Any, weight: Any, out: Any
) -> None:
    """Post p asks for lists `asked[offsets[p]:offsets[p + 1]]`; list l begins at `starts[l]`."""
    for p in prange(out.shape[0]):
        row = out[p]
        for k in range(offsets[p], offsets[p + 1]):
            if k + AHEAD < len(asked):
                following = asked[k + AHEAD]
                fetch(columns, weights, starts[following], starts[following + 1])
            by = weight[k]
            for place in range(starts[asked[k]], starts[asked[k] + 1]):
                at = np.uint64(place)  # none is counted from the end
                row[np.uint64(columns[at])] += by * weights[at]


@compiled
def add_rows(
    asked: Any, weight: Any, offsets: Any, table: Any, columns: Any, start: Any, out: Any
) -> None:
    """Post p asks for rows of the table (n, C), whose columns are `columns` (C,) of `out`."""
    for p in prange(out.shape[0]):
        sums = np.zeros(table.shape[1], table.dtype)
        for k in range(offsets[p], offsets[p + 1]):
            row, by = table[asked[k]], weight[k]
            for c in range(len(sums)):
                sums[c] += by * row[c]
        for column in range(len(start)):
            out[p, column] = start[column]
        for c in range(len(sums)):
            out[p, columns[c]] += sums[c]
