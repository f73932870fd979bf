"""Wide rows in, their random projection to fewer numbers out: the same matrix everywhere.

The columns of the matrix are orthonormal, times √(width / dim), so that a row keeps its
length, and two rows their distance, on average (Johnson and Lindenstrauss, 1984). The error
of a squared distance is about √(2 / dim) of it: 12 % for 128 numbers. Nothing is learned
from data, so no dataset is needed to make it and none leaks through it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from reeltag.errors import ConfigError

SEED = 0


@cache
def projection(width: int, dim: int, seed: int = SEED) -> NDArray[np.float32]:
    """The matrix (width, dim) of a seed. Raises `ConfigError` unless 1 <= dim <= width.

    Normal numbers of PCG64, made orthonormal by QR in double precision with the sign that
    makes the diagonal of R positive: without it the signs are the linear algebra library's.
    """
    if not 1 <= dim <= width:
        raise ConfigError(f"Got project={dim}, expected 1 to {width}, the network's own width.")
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal((width, dim))
    q, r = np.linalg.qr(normal)
    scale = np.sqrt(width / dim) * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    matrix: NDArray[np.float32] = (q * scale).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def project(rows: NDArray[np.float32], dim: int, seed: int = SEED) -> NDArray[np.float32]:
    """Rows (..., width) as (..., dim)."""
    return np.asarray(rows @ projection(rows.shape[-1], dim, seed), np.float32)
