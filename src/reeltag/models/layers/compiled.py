"""Loops over arrays in, compiled ones out. Only modules of kernels import this: it needs numba."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import Any

import numba

_ONE = Lock()
"""Not every pool of threads that numba may have found stands two callers."""


def compiled(function: Callable[..., Any], fast: bool = False) -> Callable[..., Any]:
    """The same function, compiled for the kinds of its arguments when first called.

    Its `prange` loops share out numba's threads. Python's other threads go on meanwhile, but two
    of these functions never run at once. `fast`: sums may be added up in any order.
    """
    made = numba.njit(parallel=True, cache=True, nogil=True, fastmath=fast)(function)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        with _ONE:
            return made(*arguments)

    return call
