"""Arrays in, the columns of each row's largest numbers out: loops that numba compiles.

Numbers are compared by keys of 64 bits, the smallest first: the number's bits, turned so that
larger numbers come first (what is none is -inf), then its column.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import prange

from reeltag.models.layers.compiled import compiled

_SIGN = np.uint32(1 << 31)
_LOW = np.uint64((1 << 32) - 1)
_SHIFT = np.uint64(32)
_WIDE = 6
"""Times as long as what is wanted are the lines in which `top_columns` lays out a row."""
_LINE = 256
"""At least so long, for the sake of loops along them."""
_LARGEST = np.int32((1 << 31) - 1)
_LEAST = np.int32(-0x7F800001)
"""Where -inf, and what is no number, stand in the order of `_in_order`."""


@numba.njit(cache=True, inline="always")
def _key(value: Any, column: Any) -> Any:
    if value != value:
        value = -np.float32(np.inf)
    bits = np.float32(value + np.float32(0)).view(np.uint32)  # -0 + 0 is 0
    if bits < _SIGN:
        bits = ~(bits | _SIGN)
    return (np.uint64(bits) << _SHIFT) | np.uint64(column)


@numba.njit(cache=True)
def _smallest(keys: Any, most: int) -> Any:
    """The `most` smallest keys, ascending."""
    if len(keys) > 2 * most:
        keys = keys[keys <= np.partition(keys, most - 1)[most - 1]]
    keys.sort()
    return keys[:most]


@numba.njit(cache=True)
def _in_order(row: Any, order: Any, maxima: Any) -> None:
    """Whole numbers that are ordered as the row's, into `order`; the largest down its lines."""
    wide = len(maxima)
    for start in range(0, len(row), wide):
        line, into = row[start : start + wide], order[start : start + wide]
        for j in range(len(line)):
            bits = np.float32(line[j] + np.float32(0)).view(np.int32)  # -0 + 0 is 0
            place = np.int32(bits ^ (np.int32(bits >> np.int32(31)) & _LARGEST))
            into[j] = place if line[j] == line[j] else _LEAST
            maxima[j] = max(maxima[j], into[j])


@numba.njit(cache=True)
def _kth_largest(numbers: Any, k: int) -> Any:
    """By halving where it may lie: a count of all numbers is sixteen of them in an instruction."""
    low, high = np.int64(numbers.min()), np.int64(numbers.max())
    while low < high:
        middle = np.int32((low + high + 1) >> 1)
        count = np.int32(0)
        for i in range(len(numbers)):
            count += np.int32(numbers[i] >= middle)
        if count >= k:
            low = np.int64(middle)
        else:
            high = np.int64(middle) - 1
    return np.int32(low)


@compiled
def top_columns(scores: Any, out: Any) -> None:
    """Of rows (B, H), into out (B, most): no column is sorted that is not among the first.

    Each row is laid out in lines of `wide` columns; the most-th largest of the maxima down the
    lines is a lower bound of the most-th largest of all. Fewer than `most` maxima are above it,
    and only there is anything that is.
    """
    rows, width = scores.shape
    most = out.shape[1]
    wide = min(width, max(_WIDE * most, _LINE))
    for p in prange(rows):
        order, maxima = np.empty(width, np.int32), np.full(wide, _LEAST, np.int32)
        _in_order(scores[p], order, maxima)
        bound = _kth_largest(maxima, most)
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
                    columns[found], places[found] = column, order[column]
                    found += order[column] >= bound
        bound = _kth_largest(places[:found], most)
        ties = most
        for i in range(found):
            ties -= places[i] > bound
        keys, count = np.empty(found, np.uint64), 0
        for i in range(found):  # by rising columns: of equal numbers the first ones are kept
            first = np.uint64(np.int64(_LARGEST) - np.int64(places[i]))
            keys[count] = (first << _SHIFT) | np.uint64(columns[i])
            tie = places[i] == bound
            count += places[i] > bound or (tie and ties > 0)
            ties -= tie
        keys = np.sort(keys[:most])
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
        keys = np.empty(count, np.uint64)
        for i in range(count):
            column = columns[start + i]
            listed[column] = True
            keys[i] = _key(values[start + i], column)
        keys = _smallest(keys, most)
        i, t = 0, 0
        for place in range(most):
            while t < len(order) and listed[order[t]]:
                t += 1
            other = np.uint64((1 << 64) - 1)
            if t < len(order):
                other = _key(scale[p] * usual[order[t]], order[t])
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
    for p in prange(out.shape[0]):
        found = np.full(len(usual), -1, np.int64)
        for i in range(offsets[p], offsets[p + 1]):
            found[columns[i]] = i
        for k in range(out.shape[1]):
            i = found[asked[p, k]]
            out[p, k] = values[i] if i >= 0 else scale[p] * usual[asked[p, k]]


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
