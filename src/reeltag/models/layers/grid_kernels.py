"""Whole numbers of 16 bits in, their inner products out: the loop of `grid_product`.

Processors multiply and add sixteen such pairs in one instruction, which the compiler does not find
in a plain loop: `_dots` spells it out for LLVM, on any processor.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from reeltag.models.layers.compiled import compiled

_TILE = 16
"""Rows of the right table that stay near the processor while all of the left pass."""
_LANES = 16
_ABREAST = 4
"""Rows of the left that meet a row of the right at once: it is read once for all."""
_SHORT, _WHOLE, _SIZE = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_whole = np.int32  # numba would widen sums to 64 bits


def _dots(count: int) -> Any:
    """Of `count` rows of `left` from `p` on with row `j` of `right`, by whole lanes: int32 sums.

    Both are C-ordered int16 (_, n). The n % 16 last numbers of the rows are left to the caller.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, p, right, j = arguments
        mine = context.make_array(signature.args[0])(context, builder, left)
        other = context.make_array(signature.args[2])(context, builder, right)
        width = cgutils.unpack_tuple(builder, mine.shape)[1]

        def row(array: Any, number: Any) -> Any:
            return builder.gep(array.data, [builder.mul(number, width)])

        rows = [row(mine, builder.add(p, _SIZE(i))) for i in range(count)]
        sums = [
            cgutils.alloca_once_value(builder, _vector(_WHOLE, [0] * (_LANES // 2)))
            for _ in range(count)
        ]
        end = builder.and_(width, _SIZE(-_LANES))
        with cgutils.for_range_slice(builder, _SIZE(0), end, _SIZE(_LANES), inc=True) as (k, _):
            met = _lanes(builder, row(other, j), k)
            for start, total in zip(rows, sums, strict=True):
                product = builder.mul(_lanes(builder, start, k), met)
                pairs = _folded(builder, product, range(0, _LANES, 2), range(1, _LANES, 2))
                builder.store(builder.add(builder.load(total), pairs), total)
        return cgutils.pack_array(builder, [_added_up(builder, builder.load(s)) for s in sums])

    @intrinsic
    def sums_of(typing: Any, left: Any, p: Any, right: Any, j: Any) -> Any:
        return types.UniTuple(types.int32, count)(left, p, right, j), generate

    return sums_of


def _lanes(builder: Any, row: Any, k: Any) -> Any:
    """Sixteen numbers of a row from the k-th on, as int32."""
    where = builder.bitcast(builder.gep(row, [k]), ir.VectorType(_SHORT, _LANES).as_pointer())
    return builder.sext(builder.load(where, align=2), ir.VectorType(_WHOLE, _LANES))


def _folded(builder: Any, vector: Any, some: range, others: range) -> Any:
    """The lanes `some` of a vector plus the lanes `others`, one by one."""
    nothing = ir.Constant(vector.type, ir.Undefined)
    parts = (builder.shuffle_vector(vector, nothing, _vector(_WHOLE, w)) for w in (some, others))
    return builder.add(*parts)


def _added_up(builder: Any, vector: Any) -> Any:
    while (half := vector.type.count // 2) > 0:
        vector = _folded(builder, vector, range(half), range(half, 2 * half))
    return builder.extract_element(vector, _WHOLE(0))


def _vector(kind: Any, numbers: Any) -> Any:
    return ir.Constant(ir.VectorType(kind, len(numbers)), list(numbers))


_dots_abreast, _dots_alone = _dots(_ABREAST), _dots(1)


@numba.njit(cache=True)
def _rest(mine: Any, other: Any) -> Any:
    """The inner product of two rows from where whole lanes end."""
    total = _whole(0)
    for k in range(len(mine) - len(mine) % _LANES, len(mine)):
        total = _whole(total + _whole(_whole(mine[k]) * _whole(other[k])))
    return total


@compiled
def inner_products(left: Any, right: Any, unit: Any, out: Any) -> None:
    """out (B, C) = unit · left (B, n) rightᵀ (n, C), for sums that 32 bits hold."""
    rows, columns = out.shape
    for tile in prange((columns + _TILE - 1) // _TILE):
        first, last = tile * _TILE, min((tile + 1) * _TILE, columns)
        for p in range(0, rows - rows % _ABREAST, _ABREAST):
            for j in range(first, last):
                sums = _dots_abreast(left, p, right, j)
                for i in range(_ABREAST):
                    out[p + i, j] = unit * np.float32(sums[i] + _rest(left[p + i], right[j]))
        for p in range(rows - rows % _ABREAST, rows):
            for j in range(first, last):
                (total,) = _dots_alone(left, p, right, j)
                out[p, j] = unit * np.float32(total + _rest(left[p], right[j]))
