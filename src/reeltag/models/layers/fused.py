"""Elementwise part and inner product of pairwise scores in one pass over the processor's cache.

score(t, j) = Σ_d c_td φ(A_jd + B_td) + k_t with φ = leaky ReLU (GCN-PHR's scores), or with
φ = ReLU and c of the model alone (LOGO's attention). Written with torch it makes a table of
posts × hashtags × D and reads it again; here nothing is stored but the score. Compiled by numba
on first use where it is installed (`reeltag[fast]`); `available()` says whether.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

SLOPE = 0.01
"""Of leaky ReLU, torch's default."""


@cache
def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def score_all(A: Tensor, B: Tensor, c: Tensor, k: Tensor) -> Tensor:
    """Scores (n, H) of every hashtag A (H, D) for posts with B, c (n, D) and k (n,)."""
    from reeltag.models.layers import fused_kernels

    out = np.empty((len(c), len(A)), dtype=np.float32)
    fused_kernels.score_all(*(_array(x) for x in (A, B, c, k)), np.float32(SLOPE), out)
    return torch.from_numpy(out)


def score_pairs(A: Tensor, B: Tensor, c: Tensor, k: Tensor, candidates: Tensor) -> Tensor:
    """Scores (n, C) of each post's own `candidates` (n, C)."""
    from reeltag.models.layers import fused_kernels

    out = np.empty(tuple(candidates.shape), dtype=np.float32)
    arrays = [_array(x) for x in (A, B, c, k)]
    fused_kernels.score_pairs(*arrays, candidates.contiguous().numpy(), np.float32(SLOPE), out)
    return torch.from_numpy(out)


def attention_logits(queries: Tensor, keys: Tensor, weight: Tensor) -> Tensor:
    """w · ReLU(key + query): queries (B or 1, H, A), keys (B, T, A), weight (A,): (B, T, H)."""
    from reeltag.models.layers import fused_kernels

    out = np.empty((*keys.shape[:2], queries.shape[1]), dtype=np.float32)
    fused_kernels.attention_logits(*(_array(x) for x in (queries, keys, weight)), out)
    return torch.from_numpy(out)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()
