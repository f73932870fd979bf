"""Arrays in, sums of lists written into `out`: the loop that numba compiles for `ListSums`.

Numbers are added in the order in which a product of sparse matrices adds them: equal bits.
"""

from __future__ import annotations

from typing import Any

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
