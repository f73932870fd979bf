"""Whole numbers of 16 bits in, their inner products out: the loop of `grid_product`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled

_TILE = 16
"""Rows of the right table that stay near the processor while all of the left pass."""
_whole = np.int32  # numba would widen sums to 64 bits


@compiled
def inner_products(left: Any, right: Any, unit: Any, out: Any) -> None:
    """out (B, C) = unit · left (B, n) rightᵀ (n, C), for sums that 32 bits hold."""
    rows, columns = out.shape
    for tile in prange((columns + _TILE - 1) // _TILE):
        for p in range(rows):
            mine = left[p]
            for j in range(tile * _TILE, min((tile + 1) * _TILE, columns)):
                other, total = right[j], _whole(0)
                for k in range(len(mine)):
                    total = _whole(total + _whole(_whole(mine[k]) * _whole(other[k])))
                out[p, j] = unit * np.float32(total)
