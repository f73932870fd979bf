"""Loops over arrays in, compiled ones out. Only modules of kernels import this: it needs numba."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from types import FunctionType
from typing import Any

import numba
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_ONE = Lock()
"""Not every pool of threads that numba may have found stands two callers."""


def compiled(function: Callable[..., Any], fast: bool = False) -> Callable[..., Any]:
    """The same function, compiled for the kinds of its arguments when first called.

    Its `prange` loops share out numba's threads; two of these never run at once. Called by a
    thread of one core (`torch.set_num_threads(1)`) it is a plain loop, to which that is nothing:
    such threads run side by side. Python's other threads go on meanwhile, in either case.
    `fast`: sums may be added up in any order.
    """
    single = _renamed(function, f"{function.__qualname__}_alone")
    shared = numba.njit(function, parallel=True, cache=True, nogil=True, fastmath=fast)
    alone = numba.njit(single, cache=True, nogil=True, fastmath=fast)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        if torch.get_num_threads() == 1:
            return alone(*arguments)
        with _ONE:
            return shared(*arguments)

    return call


def _renamed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A copy by another name, for numba keeps what it compiled by name."""
    assert isinstance(function, FunctionType)
    code, known = function.__code__, function.__globals__
    copy = FunctionType(code, known, name, function.__defaults__, function.__closure__)
    copy.__qualname__ = name
    return copy


def _prefetch(typing: Any, array: Any, place: Any) -> Any:
    """In a compiled loop: have the processor fetch the C-ordered array's number at `place`.

    It goes on meanwhile. Nothing is read, so a place beyond the end does no harm.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, place = arguments
        whole = ir.IntType(32)
        made = context.make_array(signature.args[0])(context, builder, array)
        where = builder.bitcast(builder.gep(made.data, [place]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [where.type, whole, whole, whole])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(fetch, [where, whole(0), whole(3), whole(1)])  # to read, to keep, a number
        return context.get_dummy_value()

    return types.void(array, place), generate


prefetch: Any = intrinsic(_prefetch)
