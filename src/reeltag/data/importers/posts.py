"""Raw rows of any format in; posts of the one schema, and the rows that are none, out.

Hashtags come from their own column where there is one, else from the caption. They leave the
caption in both cases: a caption that still names its hashtags would give the answer away.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from reeltag.data.importers import lists, times
from reeltag.data.importers.base import RAW_LIMIT, ROW, Fault, Loaded
from reeltag.data.schema import PARTS
from reeltag.errors import InputError
from reeltag.hashtags import strip_column, take_column

_PARTS = {
    **{"train": "train", "training": "train"},
    **dict.fromkeys(("valid", "val", "dev", "validation"), "validation"),
    **{"test": "test", "testing": "test"},
}
_PLAIN = ("user", "clip", "place", "music")


def posts_of(source: Path, loaded: Loaded) -> tuple[pl.DataFrame, list[Fault], list[str]]:
    """Columns of `reeltag.data.schema.POSTS` and `ROW`, faults, and remarks for people.

    Raises `InputError` where there is neither a hashtag nor a caption column.
    """
    frame, columns = loaded.frame, loaded.columns
    if "hashtags" not in columns and "caption" not in columns:
        have = ", ".join(name for name in frame.columns if name != ROW) or "no known column"
        raise InputError(
            f"{source} has no hashtags and no caption ({have}). Name one: --map hashtags=COLUMN "
            "or --map caption=COLUMN."
        )
    posts = frame.select(ROW)
    bad: list[Fault] = []
    posts = posts.with_columns(_ids(frame, columns.get("post")).alias("post"))
    posts = posts.with_columns(
        text_of(frame[columns[name]]).alias(name) for name in _PLAIN if name in columns
    )
    if "time" in columns:
        raw = frame[columns["time"]]
        posts = posts.with_columns(times.decode(raw).alias("time"))
        wrong = posts["time"].is_null() & text_of(raw).is_not_null()
        bad += _faults(loaded, wrong, "time", "unreadable time", _TIME_HINT)
    if "part" in columns:
        raw = text_of(frame[columns["part"]])
        part = raw.str.to_lowercase().replace_strict(_PARTS, default=None, return_dtype=pl.Utf8)
        posts = posts.with_columns(part.alias("part"))
        wrong = part.is_null() & raw.is_not_null()
        hint = f"expected {', '.join(PARTS)} (or training, val, valid, dev)"
        bad += _faults(loaded, wrong, "part", "unknown split value", hint)
    posts, remarks = _words(posts, frame, columns)
    bad += _faults(loaded, posts["post"].is_null(), "post", "no post id", "expected an id")
    if bad:
        refused = pl.DataFrame({ROW: [fault.row for fault in bad]}, schema={ROW: pl.UInt32()})
        posts = posts.join(refused, on=ROW, how="anti", maintain_order="left")
    twice = ~posts["post"].is_first_distinct()
    if twice.any():
        bad += _repeated(loaded, posts.filter(twice))
        posts = posts.filter(~twice)
    return posts, bad, remarks


_TIME_HINT = "expected ISO text, YYYY-MM-DD HH:MM:SS, or seconds since 1970"


def _ids(frame: pl.DataFrame, column: str | None) -> pl.Series:
    return frame[ROW].cast(pl.Utf8) if column is None else text_of(frame[column])


def text_of(values: pl.Series) -> pl.Series:
    """A column as trimmed text; empty is null. Whole floats lose their `.0`."""
    if values.dtype.is_float():
        whole = values.is_not_nan() & (values.abs() < 2**53) & (values == values.round())
        if (whole | values.is_null() | values.is_nan()).all():
            values = values.fill_nan(None).cast(pl.Int64)
    if values.dtype.is_nested():
        text = pl.Series([json.dumps(value, default=str) for value in values], dtype=pl.Utf8)
    else:
        text = values.cast(pl.Utf8)
    text = text.str.strip_chars()
    return text.set(text == "", None).alias(values.name)


def _words(
    posts: pl.DataFrame, frame: pl.DataFrame, columns: dict[str, str]
) -> tuple[pl.DataFrame, list[str]]:
    """Add `caption` without hashtags and `hashtags`."""
    remarks: list[str] = []
    tags = lists.decode(frame[columns["hashtags"]]) if "hashtags" in columns else None
    if "caption" in columns:
        caption = frame[columns["caption"]].cast(pl.Utf8).fill_null("")
        found, clean = take_column(caption) if tags is None else (tags, strip_column(caption))
        touched, filled = int((clean != caption).sum()), int((caption != "").sum())
        if touched:
            remarks.append(
                f"{touched:,} of {filled:,} captions contained hashtags; they were removed"
            )
        tags = found
        posts = posts.with_columns(clean.str.strip_chars().alias("caption"))
    assert tags is not None
    return posts.with_columns(lists.tidy(tags).alias("hashtags")), remarks


def _faults(loaded: Loaded, wrong: pl.Series, ours: str, reason: str, hint: str) -> list[Fault]:
    if not wrong.any():
        return []
    rows = loaded.frame.filter(wrong)
    column = loaded.columns.get(ours)
    got = rows[column] if column is not None else rows[ROW]
    return [
        Fault(row, reason, raw, f"got {value!r}, {hint}", column)
        for row, value, raw in zip(rows[ROW], got, _raw(rows), strict=True)
    ]


def _repeated(loaded: Loaded, posts: pl.DataFrame) -> list[Fault]:
    rows = loaded.frame.filter(pl.col(ROW).is_in(posts[ROW].implode()))
    return [
        Fault(row, "post id stands twice", raw, f"post {post!r} came before", fatal=False)
        for row, post, raw in zip(posts[ROW], posts["post"], _raw(rows), strict=True)
    ]


def _raw(rows: pl.DataFrame) -> list[str]:
    return [
        json.dumps(row, ensure_ascii=False, default=str)[:RAW_LIMIT]
        for row in rows.drop(ROW).iter_rows(named=True)
    ]
