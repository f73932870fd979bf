"""Arrays in, scores written into `out`: the loops that numba compiles for `fused`.

`c[t, d] * max(x, slope * x)` with x = A[j, d] + B[t, d], summed over d, plus k[t].
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled

quickly = partial(compiled, fast=True)


@quickly
def score_all(A: Any, B: Any, c: Any, k: Any, slope: Any, out: Any) -> None:
    """Every hashtag: A (H, D), B and c (n, D), k (n,), out (n, H)."""
    for t in prange(c.shape[0]):
        for j in range(A.shape[0]):
            total = np.float32(0)
            for d in range(A.shape[1]):
                x = A[j, d] + B[t, d]
                total += c[t, d] * max(x, slope * x)
            out[t, j] = total + k[t]


@quickly
def score_pairs(A: Any, B: Any, c: Any, k: Any, candidates: Any, slope: Any, out: Any) -> None:
    """Each post's own candidates (n, C): out (n, C)."""
    for t in prange(c.shape[0]):
        for n in range(candidates.shape[1]):
            j = candidates[t, n]
            total = np.float32(0)
            for d in range(A.shape[1]):
                x = A[j, d] + B[t, d]
                total += c[t, d] * max(x, slope * x)
            out[t, n] = total + k[t]


@quickly
def attention_logits(queries: Any, keys: Any, weight: Any, out: Any) -> None:
    """queries (B or 1, H, A), keys (B, T, A), weight (A,), out (B, T, H)."""
    posts, steps, width = keys.shape
    for row in prange(posts * steps):
        t, s = row // steps, row % steps
        g = t if queries.shape[0] > 1 else 0
        for j in range(queries.shape[1]):
            total = np.float32(0)
            for d in range(width):
                total += weight[d] * max(keys[t, s, d] + queries[g, j, d], np.float32(0))
            out[t, s, j] = total
