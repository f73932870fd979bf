"""Whole numbers of 16 bits in, their inner products out: the loop of `grid_product`.

Processors multiply and add sixteen or more such pairs in one instruction, which the compiler does
not find in a plain loop: `_dots` spells it out for LLVM, on any processor.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from reeltag.models.layers.compiled import compiled


def _has_long_registers() -> bool:
    """Whether the processor has twice as many registers, each twice as long, as is usual."""
    try:
        return bool(get_host_cpu_features().get("avx512bw"))
    except RuntimeError:  # LLVM cannot tell of every kind of processor
        return False


_TILE = 32
"""Rows of the right table that stay near the processor while all of the left pass."""
_LONG = _has_long_registers()
_LANES = 32 if _LONG else 16
_ABREAST, _WIDE = 4, 4 if _LONG else 2
"""Rows of the left and of the right that meet at once: each is read once for all of the others,
and all sums fit into the registers."""
_NEIGHBOURS = (0, 2, 8, 10, 4, 6, 12, 14), (1, 3, 9, 11, 5, 7, 13, 15)
_HALVES = (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)
_SHORT, _WHOLE, _SIZE = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_whole = np.int32  # numba would widen sums to 64 bits


def _dots(abreast: int, wide: int) -> Any:
    """Writes inner products of `abreast` rows of `left` from `p` on with `wide` rows of `right`

    from `j` on, times `unit`, into `out`: by whole lanes, the n % lanes last numbers of the rows
    are left to the caller. All are C-ordered, int16 (_, n) and float32 `out`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, p, right, j, unit, out = arguments

        def rows(at: int, array: Any, first: Any, count: int) -> tuple[list[Any], Any]:
            """Where `count` rows of the argument number `at` begin, and how long they are."""
            made = context.make_array(signature.args[at])(context, builder, array)
            width = cgutils.unpack_tuple(builder, made.shape)[1]
            places = (builder.mul(builder.add(first, _SIZE(i)), width) for i in range(count))
            return [builder.gep(made.data, [place]) for place in places], width

        (ours, width), (theirs, _) = rows(0, left, p, abreast), rows(2, right, j, wide)
        sums = [
            cgutils.alloca_once_value(builder, _vector(_WHOLE, [0] * (_LANES // 2)))
            for _ in range(abreast * wide)
        ]
        end = builder.and_(width, _SIZE(-_LANES))
        with cgutils.for_range_slice(builder, _SIZE(0), end, _SIZE(_LANES), inc=True) as (k, _):
            met = [_lanes(builder, row, k) for row in theirs]
            pairs = itertools.product([_lanes(builder, row, k) for row in ours], met)
            for (one, another), total in zip(pairs, sums, strict=True):
                product = builder.mul(one, another)
                added = _folded(builder, product, product, range(0, _LANES, 2), range(1, _LANES, 2))
                builder.store(builder.add(builder.load(total), added), total)
        loaded = [builder.load(total) for total in sums]
        if _LONG:
            loaded = [_folded(builder, total, total, range(8), range(8, 16)) for total in loaded]
        eights = [_added_up(builder, loaded[at : at + 8]) for at in range(0, len(loaded), 8)]
        numbers = [builder.sitofp(eight, ir.VectorType(ir.FloatType(), 8)) for eight in eights]
        places = (
            builder.gep(row, [builder.add(j, _SIZE(k))])
            for row in rows(5, out, p, abreast)[0]
            for k in range(wide)
        )
        for at, place in enumerate(places):
            number = builder.extract_element(numbers[at // 8], _WHOLE(at % 8))
            builder.store(builder.fmul(unit, number), place)
        return context.get_dummy_value()

    @intrinsic
    def write(typing: Any, left: Any, p: Any, right: Any, j: Any, unit: Any, out: Any) -> Any:
        return types.void(left, p, right, j, unit, out), generate

    return write


def _lanes(builder: Any, row: Any, k: Any) -> Any:
    """As many numbers of a row as there are lanes, from the k-th on, as int32."""
    where = builder.bitcast(builder.gep(row, [k]), ir.VectorType(_SHORT, _LANES).as_pointer())
    return builder.sext(builder.load(where, align=2), ir.VectorType(_WHOLE, _LANES))


def _folded(builder: Any, one: Any, other: Any, some: Sequence[int], others: Sequence[int]) -> Any:
    """Of two vectors, one after the other, the lanes `some` plus the lanes `others`."""
    parts = (builder.shuffle_vector(one, other, _vector(_WHOLE, lanes)) for lanes in (some, others))
    return builder.add(*parts)


def _added_up(builder: Any, vectors: list[Any]) -> Any:
    """Up to eight vectors of eight lanes in, a vector of the sum of all lanes of each out."""
    left = [*vectors, *vectors[:1] * (8 - len(vectors))]
    for folds in (_NEIGHBOURS, _NEIGHBOURS, _HALVES):  # as processors add neighbours: by halves
        pairs = zip(left[::2], left[1::2], strict=True)
        left = [_folded(builder, one, other, *folds) for one, other in pairs]
    return left[0]


def _vector(kind: Any, numbers: Sequence[int]) -> Any:
    return ir.Constant(ir.VectorType(kind, len(numbers)), list(numbers))


_write_block, _write_row = _dots(_ABREAST, _WIDE), _dots(1, _WIDE)
_write_column, _write_one = _dots(_ABREAST, 1), _dots(1, 1)


@compiled
def inner_products(left: Any, right: Any, unit: Any, out: Any) -> None:
    """out (B, C) = unit · left (B, n) rightᵀ (n, C), for sums that 24 bits hold."""
    (rows, columns), size = out.shape, left.shape[1]
    for tile in prange((columns + _TILE - 1) // _TILE):
        first, last = tile * _TILE, min((tile + 1) * _TILE, columns)
        even = last - (last - first) % _WIDE
        most = rows - rows % _ABREAST
        for p in range(0, most, _ABREAST):
            for j in range(first, even if p else first, _WIDE):
                _write_block(left, p, right, j, unit, out)
            for j in range(even if p else first, last):
                _write_column(left, p, right, j, unit, out)
        for p in range(most, rows):
            for j in range(first, even if p else first, _WIDE):
                _write_row(left, p, right, j, unit, out)
            for j in range(even if p else first, last):
                _write_one(left, p, right, j, unit, out)
        if size % _LANES:
            for p in range(rows):
                for j in range(first, last):
                    total = _whole(0)
                    for k in range(size - size % _LANES, size):
                        total = _whole(total + _whole(_whole(left[p, k]) * _whole(right[j, k])))
                    out[p, j] += unit * np.float32(total)
