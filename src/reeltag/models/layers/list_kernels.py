"""Arrays in, sums of lists and of rows written into `out`: loops that numba compiles for

`ListSums` and `sparse_product`. Numbers are added in the order in which a product of sparse
matrices adds them: equal bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled


@compiled
def add_lists(
    columns: Any, weights: Any, starts: Any, offsets: Any, asked: Any, weight: Any, out: Any
) -> None:
    """Post p asks for lists `asked[offsets[p]:offsets[p + 1]]`; list l begins at `starts[l]`."""
    for p in prange(out.shape[0]):
        for k in range(offsets[p], offsets[p + 1]):
            for place in range(starts[asked[k]], starts[asked[k] + 1]):
                out[p, columns[place]] += weight[k] * weights[place]


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
