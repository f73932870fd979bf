"""Arrays in, the columns of each row's largest numbers out: loops that numba compiles.

Numbers are compared by their places, whole numbers in the same order, or by keys of 64 bits, the
smallest first: a place, turned so that larger ones come first, then the column.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled

_LOW = np.uint64((1 << 32) - 1)
_SHIFT = np.uint64(32)
_DIGIT, _NEXT = np.uint64(255), np.uint64(1)
_WIDE = 12
"""Times as long as what is wanted are the lines in which `top_columns` lays out a row."""
_LINE = 256
"""At least so long, for the sake of loops along them."""
_TOGETHER = 16
"""Rows that share a table of all columns."""
_LARGEST = np.int32((1 << 31) - 1)
_LEAST = np.int32(-0x7F800001)
"""Where -inf, and what is no number, stand."""


@numba.njit(cache=True, inline="always")
def _place(value: Any) -> Any:
    """A whole number: these are ordered as the numbers are, and what is none as -inf."""
    bits = np.float32(value + np.float32(0)).view(np.int32)  # -0 + 0 is 0
    place = np.int32(bits ^ (np.int32(bits >> np.int32(31)) & _LARGEST))
    return place if value == value else _LEAST


@numba.njit(cache=True, inline="always")
def _key(place: Any, column: Any) -> Any:
    return (np.uint64(np.int64(_LARGEST) - np.int64(place)) << _SHIFT) | np.uint64(column)


@numba.njit(cache=True)
def _sorted(keys: Any, bit: Any) -> Any:
    """Keys in order, which lie in the order of their bits below `bit`: digit by digit."""
    count, starts, others = len(keys), np.empty(257, np.int64), np.empty_like(keys)
    for at in range(bit, 64, 8):
        digit = np.uint64(at)
        starts[:] = 0
        for i in range(count):
            starts[((keys[i] >> digit) & _DIGIT) + _NEXT] += 1
        if count == 0 or starts[((keys[0] >> digit) & _DIGIT) + _NEXT] == count:
            continue  # the same in all
        for value in range(1, 256):
            starts[value] += starts[value - 1]
        for i in range(count):
            value = (keys[i] >> digit) & _DIGIT
            others[starts[value]] = keys[i]
            starts[value] += 1
        keys, others = others, keys
    return keys


@numba.njit(cache=True)
def _down(row: Any, wide: int) -> Any:
    """The row in lines of `wide` columns, one below the other: the largest place down each."""
    maxima = np.full(wide, _LEAST, np.int32)
    for start in range(0, len(row), wide):
        line = row[start : start + wide]
        for j in range(len(line)):
            maxima[j] = max(maxima[j], _place(line[j]))
    return maxima


@numba.njit(cache=True)
def _bound(places: Any, least: int, most: int) -> Any:
    """A number that `least` to `most` places reach, or the `least`-th largest of them.

    By halving where it may lie: a count of all places is sixteen of them in an instruction.
    """
    low, high = np.int64(places.min()), np.int64(places.max())
    while low < high:
        middle = np.int32((low + high + 1) >> 1)
        count = np.int32(0)
        for i in range(len(places)):
            count += np.int32(places[i] >= middle)
        if count >= least:
            low = np.int64(middle)
            if count <= most:
                break
        else:
            high = np.int64(middle) - 1
    return np.int32(low)


@compiled
def top_columns(scores: Any, out: Any) -> None:
    """Of rows (B, H), into out (B, most): no column is sorted that is not among the first.

    Each row is laid out in lines of `wide` columns; what `most` of the maxima down the lines
    reach, `most` columns reach. Few maxima are above it, and only there is anything that is.
    """
    rows, width = scores.shape
    most = out.shape[1]
    wide = min(width, max(_WIDE * most, _LINE))
    for p in prange(rows):
        row = scores[p]
        maxima = _down(row, wide)
        bound = _bound(maxima, most, most + most // 8)
        high, lines = np.empty(wide, np.int64), 0
        for j in range(wide):
            high[lines] = j
            lines += maxima[j] >= bound
        room = lines * (1 + width // wide)
        columns, places, found = np.empty(room, np.int64), np.empty(room, np.int32), 0
        for start in range(0, width, wide):
            for line in range(lines):
                column = start + high[line]
                if column < width:
                    columns[found], places[found] = column, _place(row[column])
                    found += places[found] >= bound
        bound = _bound(places[:found], most, most)
        ties = most
        for i in range(found):
            ties -= places[i] > bound
        keys, count = np.empty(found, np.uint64), 0
        for i in range(found):  # by rising columns: of equal numbers the first ones are kept
            keys[count] = _key(places[i], columns[i])
            tie = places[i] == bound
            count += places[i] > bound or (tie and ties > 0)
            ties -= tie
        keys = _sorted(keys[:most], 32)
        for place in range(most):
            out[p, place] = np.int64(keys[place] & _LOW)


@compiled
def top_listed(
    columns: Any, values: Any, offsets: Any, usual: Any, scale: Any, order: Any, out: Any
) -> None:
    """Where `columns` are listed with `values`, all others have scale · usual, best by `order`."""
    most = out.shape[1]
    for p in prange(out.shape[0]):
        start, count = offsets[p], offsets[p + 1] - offsets[p]
        listed = np.zeros(len(usual), np.bool_)
        places = np.empty(count, np.int32)
        for i in range(count):
            listed[columns[start + i]] = True
            places[i] = _place(values[start + i])
        bound = _bound(places, most, most) if count > most else _LEAST
        keys, kept = np.empty(count, np.uint64), 0
        for i in range(count):
            keys[kept] = _key(places[i], columns[start + i])
            kept += places[i] >= bound
        keys = _sorted(keys[:kept], 0)
        i, t = 0, 0
        for place in range(most):
            while t < len(order) and listed[order[t]]:
                t += 1
            other = np.uint64((1 << 64) - 1)
            if t < len(order):
                other = _key(_place(scale[p] * usual[order[t]]), order[t])
            if i < len(keys) and keys[i] < other:
                other = keys[i]
                i += 1
            else:
                t += 1
            out[p, place] = np.int64(other & _LOW)


@compiled
def at_listed(
    columns: Any, values: Any, offsets: Any, usual: Any, scale: Any, asked: Any, out: Any
) -> None:
    """The numbers of the columns `asked` (B, C), of what `top_listed` describes."""
    rows = out.shape[0]
    for part in prange((rows + _TOGETHER - 1) // _TOGETHER):
        where = np.full(len(usual), -1, np.int32)
        for p in range(part * _TOGETHER, min(rows, (part + 1) * _TOGETHER)):
            start, end = offsets[p], offsets[p + 1]
            for i in range(start, end):
                where[columns[i]] = i - start
            for k in range(out.shape[1]):
                i = where[asked[p, k]]
                out[p, k] = values[start + i] if i >= 0 else scale[p] * usual[asked[p, k]]
            for i in range(start, end):
                where[columns[i]] = -1


@compiled
def ranks(scores: Any, asked: Any, out: Any) -> None:
    """Of column asked[p] of each row (B, H), into out (B,): 1 for the first. Equal numbers are

    ordered by column; what is none is -inf.
    """
    none = -np.float32(np.inf)
    for p in prange(scores.shape[0]):
        column, row, before = asked[p], scores[p], np.int32(0)
        own = row[column] if row[column] == row[column] else none
        for j in range(column):
            before += np.int32((row[j] if row[j] == row[j] else none) >= own)
        for j in range(column + 1, len(row)):
            before += np.int32(row[j] > own)
        out[p] = 1 + before
