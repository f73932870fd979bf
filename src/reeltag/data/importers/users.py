"""What a source says about its users in; one row a user with a column a field, out.

Fields (gender, age, country ...) come from columns of the posts, from a table of users, or from
both; then a value in the table counts. Whatever the format, a field is

    numeric      Int64 or Float64: numbers, and text all of whose values are finite numbers
    categorical  Utf8: all else; true and false become text

Text is trimmed. Empty text is unknown, and so are NaN and infinity among numbers. Lists and
objects are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from reeltag.data.importers.base import ALIASES, ROW, Loaded, Wanted
from reeltag.data.importers.detect import importer_for
from reeltag.data.importers.posts import text_of
from reeltag.data.schema import COUNTED
from reeltag.errors import InputError, RowError

_TRIED = 100
"""Distinct bracketed texts of a column that are tried as JSON."""


@dataclass(frozen=True)
class _Table(Wanted):
    """All columns of a table of users, whatever they are called; `user` is found by its alias."""

    mapping: dict[str, str] = field(default_factory=dict)

    def resolve(self, source: Path, columns: Sequence[str]) -> dict[str, str]:
        """`user` and every other column by its own name."""
        lower = {name.lower(): name for name in reversed(columns)}
        found = (lower[alias] for alias in ALIASES["user"] if alias in lower)
        mapped = self.mapping.get("user")
        user = mapped if mapped in columns else next(found, None)
        if user is None:
            raise InputError(
                f"{source} has no column that names the user. It has: {', '.join(columns)}. "
                f"Expected one of {', '.join(ALIASES['user'])}, or that of --map user=COLUMN."
            )
        fields = [name for name in columns if name != user]
        if not fields:
            raise InputError(
                f"{source} says nothing about its users. Expected columns beside {user!r}."
            )
        check_names(fields, f"{source} has a column")
        return {"user": user, **{name: name for name in fields}}


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse a field without a name, or one named as a column that is counted from posts."""
    for name in names:
        if not name.strip() or name in COUNTED:
            raise InputError(
                f"{where} {name!r}, which cannot be a field of the users: expected a name other "
                f"than {', '.join(COUNTED)}, which are counted from the posts. Rename it."
            )


def known_users(
    source: Path, loaded: Loaded, posts: pl.DataFrame, wanted: Wanted, users: Path | None
) -> tuple[pl.DataFrame | None, list[str]]:
    """What is known about the users of `posts` (columns of POSTS and `ROW`), and remarks.

    Columns: user, and one a field. None where nothing was asked for.
    Raises `InputError` where a column holds lists or no post has a user, and `RowError` where
    a user stands twice in the table `users`.
    """
    if not wanted.user_fields and users is None:
        return None, []
    if "user" not in posts.columns or posts["user"].null_count() == posts.height:
        raise InputError(
            f"{source}: no post has a user, so nothing can be known about one. Name the column: "
            "--map user=COLUMN."
        )
    known, remarks = _of_posts(source, loaded, posts, wanted.user_fields)
    if users is not None:
        told, more = _of_table(users, wanted, known["user"])
        known, remarks = _merge(known, told), remarks + more
    return known, remarks


def _of_posts(
    source: Path, loaded: Loaded, posts: pl.DataFrame, fields: dict[str, str]
) -> tuple[pl.DataFrame, list[str]]:
    """The users of `posts` with each one's most common value of each field, ties to the first."""
    known = posts.select(pl.col("user").drop_nulls().unique(maintain_order=True))
    remarks: list[str] = []
    kept = loaded.frame[ROW].is_in(posts[ROW].implode())
    for name, column in fields.items():
        values = column_of(source, loaded.frame[column], loaded.frame[ROW]).filter(kept)
        counted = (
            pl.DataFrame({"user": posts["user"], "value": values})
            .lazy()
            .with_row_index("at")
            .drop_nulls()
            .group_by("user", "value")
            .agg(pl.len().alias("rows"), pl.col("at").min())
            .sort(["rows", "at"], descending=[True, False])
            .group_by("user", maintain_order=True)
            .agg(pl.col("value").first(), pl.len().alias("different"))
            .collect()
        )
        torn = int((counted["different"] > 1).sum())
        if torn:
            remarks.append(
                f"{torn:,} of {counted.height:,} users have more than one {name}; the most common "
                "of each was taken"
            )
        told = counted.select("user", pl.col("value").alias(name))
        known = known.join(told, on="user", how="left", maintain_order="left")
    return known, remarks


def _of_table(path: Path, wanted: Wanted, have: pl.Series) -> tuple[pl.DataFrame, list[str]]:
    """The rows of the table at `path` that are about users who posted, and remarks."""
    mapped = {"user": wanted.mapping["user"]} if "user" in wanted.mapping else {}
    loaded = importer_for(path).load(path, _Table(mapped))
    for fault in loaded.faults:
        raise RowError(path, fault.row, fault.column, f"{fault.detail or fault.reason}. Mend it.")
    columns = [name for name in loaded.columns if name != "user"]
    frame, rows = loaded.frame, loaded.frame[ROW]
    table = pl.DataFrame(
        [
            text_of(frame[loaded.columns["user"]]).alias("user"),
            *(column_of(path, frame[name], rows) for name in columns),
        ]
    )
    nobody = table["user"].is_null()
    twice = ~table["user"].is_first_distinct() & ~nobody
    if twice.any():
        at = int(twice.arg_max() or 0)
        raise RowError(
            path,
            rows[at],
            loaded.columns["user"],
            f"user {table['user'][at]!r} stands there a second time. Expected one row a user",
        )
    remarks = []
    if nobody.any():
        remarks.append(f"{nobody.sum():,} rows of {path} name no user; they were left out")
    posted = table["user"].is_in(have.implode()).fill_null(False)
    silent = table.height - int(posted.sum()) - int(nobody.sum())
    if silent:
        remarks.append(f"{silent:,} of {table.height:,} users in {path} have no post; left out")
    return table.filter(posted), remarks


def _merge(known: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Both as one; where both know something, `told` counts. Text and numbers make text."""
    both = [name for name in told.columns if name in known.columns and name != "user"]
    kinds = {name: _common(known[name], told[name]) for name in both}
    known, told = (_cast(table, kinds) for table in (known, told))
    joined = known.join(told, on="user", how="left", suffix="\x00", maintain_order="left")
    return joined.with_columns(pl.coalesce(f"{name}\x00", name).alias(name) for name in both).drop(
        f"{name}\x00" for name in both
    )


def _common(first: pl.Series, second: pl.Series) -> pl.DataType:
    """The kind that holds the values of both; a column without any has no say."""
    kinds = [values.dtype for values in (first, second) if values.null_count() < len(values)]
    if not kinds or not all(kind.is_numeric() for kind in kinds):
        return pl.Utf8()
    return max(kinds, key=lambda kind: kind.is_float())


def _cast(table: pl.DataFrame, kinds: dict[str, pl.DataType]) -> pl.DataFrame:
    return table.with_columns(
        text_of(table[name]) if kind == pl.Utf8() else table[name].cast(kind)
        for name, kind in kinds.items()
    )


def column_of(source: Path, values: pl.Series, rows: pl.Series) -> pl.Series:
    """A column as the source has it (n,) → Int64, Float64 or Utf8 (n,); unknown is null.

    Raises `RowError` for lists and objects, which are no one value; `rows` number the values.
    """
    kind = values.dtype
    if kind.is_nested() or kind in (pl.Object, pl.Binary):
        at = int(values.is_not_null().arg_max() or 0)
        raise _no_value(source, rows[at], values.name, repr(values[at : at + 1].to_list()[0]))
    if kind.is_integer() or kind.is_decimal() or kind.is_float():
        return _number(values)
    text = text_of(values)
    _refuse_json(source, text, rows)
    numbers = text.cast(pl.Float64, strict=False)
    known = len(text) - text.null_count()
    if not known or int((numbers.is_finite().fill_null(False)).sum()) < known:
        return text
    whole = text.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == text.null_count() else numbers


def _number(values: pl.Series) -> pl.Series:
    if values.dtype.is_integer():
        whole = values.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == values.null_count() else values.cast(pl.Float64)
    numbers = values.cast(pl.Float64)
    return numbers.set(~numbers.is_finite(), None)


def _refuse_json(source: Path, text: pl.Series, rows: pl.Series) -> None:
    """JSON Lines and sidecars give lists and objects as their JSON text."""
    like = text.str.contains(r"(?s)^(\[.*\]|\{.*\})$").fill_null(False)
    if not like.any():
        return
    for value in text.filter(like).unique(maintain_order=True).head(_TRIED):
        try:
            json.loads(value)
        except ValueError:
            continue
        except RecursionError:
            pass  # nothing but JSON nests so deeply
        at = int((text == value).arg_max() or 0)
        raise _no_value(source, rows[at], text.name, value)


def _no_value(source: Path, row: int, column: str, got: str) -> RowError:
    short = got if len(got) <= 60 else f"{got[:60]}…"
    hint = "Expected one text or number a user: choose another column, or take one value out of it"
    return RowError(source, row, column, f"got {short}, a list or an object. {hint}")
