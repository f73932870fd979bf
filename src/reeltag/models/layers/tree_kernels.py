"""Rows of features and trees as masks in, sums of leaves out: the loop of `TreeMasks`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled

_DE_BRUIJN = np.uint16(0x09AF)
"""Times a power of two, its upper four bits say which one."""
_PLACES = np.zeros(16, np.int64)
for _bit in range(16):
    _PLACES[((0x09AF << _bit) & 0xFFFF) >> 12] = _bit


@compiled
def sum_leaves(
    rows: Any, starts: Any, features: Any, thresholds: Any, masks: Any, leaves: Any, out: Any
) -> None:
    """rows (n, C, F) float32 into out (n, C) float64, added up in the order of the trees."""
    all_leaves = np.uint16(0xFFFF)
    for p in prange(rows.shape[0]):
        columns = rows[p].T.copy()
        left = np.empty(rows.shape[1], np.uint16)
        total = np.zeros(rows.shape[1], np.float64)
        for tree in range(len(starts) - 1):
            left[:] = all_leaves
            for node in range(starts[tree], starts[tree + 1]):
                column, threshold, mask = columns[features[node]], thresholds[node], masks[node]
                for r in range(len(left)):
                    left[r] &= mask if column[r] > threshold else all_leaves
            for r in range(len(left)):
                first = left[r] & (~left[r] + np.uint16(1))
                total[r] += leaves[tree, _PLACES[np.uint16(first * _DE_BRUIJN) >> np.uint16(12)]]
        out[p] = total
