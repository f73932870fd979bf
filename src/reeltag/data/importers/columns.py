"""Columns of the source in; a vector feature `<modality>-columns` out.

* A numeric column is one number, as it is. One with at most 12 distinct values that are not just
  0 and 1 holds codes, and each code gets a 0/1 place of its own (one-hot); so does each value of a
  text column, at most the 512 most frequent (ties by value) and one place for all others.
  Whole numbers of 2**53 and more are identifiers (TikTok's have 19 digits) and count as text.
* Missing is: null, empty, NaN, infinity, `NA` and the like; and the negative survey codes -7, -8,
  -9, -77, -99, -999 ... in a column whose other values are all at least 0, where such a number can
  be no measurement. Missing places are 0; a post has the modality if any column is known.

The values that get a place are a code book, stored in the manifest. They come from all posts, like
the vocabulary of a form; nothing is learnt from hashtags or counted over labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.data.feature import Feature, Manifest
from reeltag.errors import InputError

FEW = 12
MOST = 512
_ABSENT = ("", "nan", "na", "n/a", "none", "null", "-inf", "inf", "<na>")
_CODES = tuple(-float(digit * count) for digit in "789" for count in range(1, 6))
_EXACT = 2.0**53


def feature_of(modality: str, frame: pl.DataFrame, names: list[str]) -> Feature:
    """Encode columns `names` of `frame` (posts,) as one float32 vector a post."""
    if not names:
        raise InputError(f"Got no columns for the {modality} feature, expected at least one.")
    blocks: list[NDArray[np.float32]] = []
    encoding: dict[str, dict[str, Any]] = {}
    present = np.zeros(frame.height, dtype=bool)
    for name in dict.fromkeys(names):
        values, known, how = encode(frame[name])
        blocks.append(values)
        encoding[name] = how
        present |= known
    values = np.concatenate(blocks, axis=1)
    if values.shape[1] == 0:
        raise InputError(f"Columns {', '.join(names)} hold no value; {modality} would be empty.")
    manifest = Manifest(
        name=f"{modality}-columns",
        modality=modality,
        extractor="columns",
        kind="vector",
        shape=(values.shape[1],),
        dtype="float32",
        source="columns",
        options={"columns": list(dict.fromkeys(names)), "encoding": encoding},
    )
    return Feature(manifest, values, present)


def encode(column: pl.Series) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, Any]]:
    """One column (n,) → values (n, places), known (n,), and how it was done."""
    if column.dtype.is_nested():
        raise InputError(f"Column {column.name!r} holds lists, expected one number or text a row.")
    numbers = _numbers(column)
    if numbers is None:
        return _one_hot(_texts(column), MOST)
    distinct = numbers.drop_nulls().unique()
    if distinct.is_in([0.0, 1.0]).all() or len(distinct) > FEW:
        known = numbers.is_not_null().to_numpy()
        values = numbers.fill_null(0.0).cast(pl.Float32).to_numpy().reshape(-1, 1)
        kind = "number" if len(distinct) > FEW else "binary"
        return np.ascontiguousarray(values), known, {"kind": kind}
    return _one_hot(numbers.map_elements(_label, return_dtype=pl.Utf8), MOST)


def _numbers(column: pl.Series) -> pl.Series | None:
    """The column as Float64 with missing as null, or None where it is text."""
    if column.dtype == pl.Boolean:
        return column.cast(pl.Float64)
    texts = _texts(column)
    truth = {"true": "1", "True": "1", "false": "0", "False": "0"}
    numbers = texts.replace(truth).cast(pl.Float64, strict=False)
    if numbers.null_count() > texts.null_count() or bool((numbers.abs() >= _EXACT).any()):
        return None
    code = numbers.is_in(list(_CODES)).fill_null(False)
    others = numbers.filter(~code).drop_nulls()
    if code.any() and len(others) and bool((others >= 0).all()):
        numbers = numbers.scatter(code.arg_true(), None)
    return numbers


def _texts(column: pl.Series) -> pl.Series:
    text = column.cast(pl.Utf8).str.strip_chars()
    absent = text.str.to_lowercase().is_in(_ABSENT).fill_null(False)
    return text.scatter(absent.arg_true(), None)


def _label(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)


def _one_hot(
    texts: pl.Series, most: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, Any]]:
    counts = texts.drop_nulls().alias("value").value_counts(name="n")
    ordered = counts.sort(["n", "value"], descending=[True, False])["value"]
    categories = sorted(ordered.head(most), key=_order)
    other = len(ordered) > most
    places = {value: place for place, value in enumerate(categories)}
    fallback = len(categories) if other else None
    index = texts.replace_strict(places, default=fallback, return_dtype=pl.Int64)
    known = texts.is_not_null().to_numpy()
    rows = np.flatnonzero(known)
    values = np.zeros((len(texts), len(categories) + other), dtype=np.float32)
    values[rows, index.filter(texts.is_not_null()).to_numpy()] = 1.0
    return values, known, {"kind": "one-hot", "categories": categories, "other": other}


def _order(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return float("inf"), value
