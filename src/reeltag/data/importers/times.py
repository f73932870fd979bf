"""Times as sources write them in; UTC Datetime(us) out.

ISO 8601 with or without a zone (none means UTC), `2023-02-16 15:36:28`, `2023-02-16`, `20230216`,
Twitter's `Thu Feb 16 15:36:28 +0000 2023`,
and Unix epochs in seconds, milliseconds or microseconds, told apart by their size.
"""

from __future__ import annotations

import polars as pl

_TIME = pl.Datetime("us")


def decode(values: pl.Series) -> pl.Series:
    """A column of times (n,) → Datetime(us) (n,), UTC; what cannot be read is null."""
    kind = values.dtype
    if isinstance(kind, pl.Datetime):
        zoned = values if kind.time_zone is None else values.dt.convert_time_zone("UTC")
        return zoned.dt.replace_time_zone(None).cast(_TIME)
    if kind == pl.Date:
        return values.cast(_TIME)
    text = pl.col("text")
    if kind.is_numeric():
        frame = values.alias("text").to_frame()
        return frame.select(_epoch(text.cast(pl.Float64)).alias(values.name)).to_series()
    result = pl.Series(values.name, [None] * len(values), dtype=_TIME)
    clean = _clean(values.cast(pl.Utf8))
    for reading in (
        _local(text),
        _minute(text),
        _zoned(text),
        _day(text),
        _number(text),
        _twitter(text),
    ):
        left = result.is_null() & clean.is_not_null()
        if not left.any():
            break
        found = clean.filter(left).alias("text").to_frame().select(reading.alias("time"))["time"]
        result = result.scatter(left.arg_true(), found)
    return result


def _clean(text: pl.Series) -> pl.Series:
    text = text.str.strip_chars().str.replace(r"^(\d{4})/(\d\d)/(\d\d)", "$1-$2-$3")
    text = text.str.replace(r"^(\d{4}-\d\d-\d\d)[Tt ]+", "$1 ")
    return text.str.replace(r"\s*([zZ]|UTC)$", "+00:00")


def _local(text: pl.Expr) -> pl.Expr:
    return text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")


def _minute(text: pl.Expr) -> pl.Expr:
    return text.str.to_datetime("%Y-%m-%d %H:%M", strict=False, time_unit="us")


def _zoned(text: pl.Expr) -> pl.Expr:
    text = text.str.replace(r"(:\d\d)?(\.\d+)?\s*([+-]\d\d):?(\d\d)?$", "$1$2$3:$4")
    text = text.str.replace(r":$", ":00").str.replace(r" (\d\d:\d\d)([+-])", " $1:00$2")
    form = "%Y-%m-%d %H:%M:%S%.f%z"
    zoned = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
    return zoned.dt.replace_time_zone(None)


def _day(text: pl.Expr) -> pl.Expr:
    compact = text.str.contains(r"^(19|20)\d{6}$")
    day = pl.when(compact).then(text.str.to_date("%Y%m%d", strict=False))
    return day.otherwise(text.str.to_date("%Y-%m-%d", strict=False)).cast(_TIME)


def _twitter(text: pl.Expr) -> pl.Expr:
    form = "%a %b %d %H:%M:%S %z %Y"
    zoned = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
    return zoned.dt.replace_time_zone(None)


def _number(text: pl.Expr) -> pl.Expr:
    return _epoch(text.cast(pl.Float64, strict=False))


def _epoch(number: pl.Expr) -> pl.Expr:
    """Numbers to times: seconds below 1e11 (the year 5138), then milli- and microseconds."""
    size = number.abs()
    scale = pl.when(size < 1e11).then(1e6).when(size < 1e14).then(1e3).otherwise(1.0)
    stamp = pl.when(size < 1e17).then((number * scale).round())
    return stamp.cast(pl.Int64, strict=False).cast(_TIME)
