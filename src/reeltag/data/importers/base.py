"""What every importer takes (a source, what is wanted of it) and gives (raw rows, and faults).

An importer only reads: it gives a frame of the source's own columns. Meaning (which column is
the caption, what a hashtag is, which ids repeat) is decided afterwards, in one place, for all
formats: `reeltag.data.importers.posts`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from reeltag.data.feature import Feature
from reeltag.errors import InputError, RowError

ROW = "__row"
"""The frame's column with each row's number in the source, counted from 1."""

RAW_LIMIT = 2000
"""Characters of a refused row kept for the rejects file."""

ALIASES: dict[str, tuple[str, ...]] = {
    "post": ("post", "post_id", "video_id", "aweme_id", "item_id", "id"),
    "user": ("user", "user_id", "author", "author_id", "username", "uploader"),
    "hashtags": ("hashtags", "hashtag", "tags", "topic_tag"),
    "caption": ("caption", "text", "desc", "description", "title"),
    "time": ("time", "create_time", "created_at", "timestamp", "date"),
    "clip": ("clip", "clip_path", "file"),
    "part": ("part", "split"),
    "place": ("place", "location"),
    "music": ("music", "music_id", "sound"),
}
"""Our name to the source's usual names; the first one that exists (in any case) is taken."""


@dataclass(frozen=True)
class Fault:
    """One row that cannot be imported."""

    row: int
    reason: str
    """A few words that are the same for all rows with this fault; counted in the report."""
    raw: str
    """The row as it was, cut at `RAW_LIMIT`."""
    detail: str = ""
    """What we got, what we expected, what to do."""
    column: str | None = None
    fatal: bool = True
    """Whether it stops an import that has no rejects file."""

    def error(self, source: Path) -> RowError:
        """The fault as the error to raise."""
        hint = "Mend the row, or pass --rejects FILE to import the others."
        return RowError(source, self.row, self.column, f"{self.detail or self.reason}. {hint}")


@dataclass(frozen=True)
class Wanted:
    """What the caller asked for, checked against a source's columns by `resolve`."""

    mapping: dict[str, str]
    """Our name (`post`, `user`, ... ; `split` means `part`) to the source's column."""
    features: dict[str, list[str]] = field(default_factory=dict)
    """Modality to the source's columns that make up its vector."""
    user_fields: dict[str, str] = field(default_factory=dict)
    """Name of a field of the users to the source's column that says it."""

    def resolve(self, source: Path, columns: Sequence[str]) -> dict[str, str]:
        """Our names to columns that exist. Raises `InputError` for one that is absent."""
        found: dict[str, str] = {}
        lower = {name.lower(): name for name in reversed(columns)}
        for ours, aliases in ALIASES.items():
            if ours in self.mapping:
                found[ours] = existing(source, self.mapping[ours], columns, f"mapped to {ours}")
                continue
            name = next((lower[alias] for alias in aliases if alias in lower), None)
            if name is not None and name not in self.mapping.values():
                found[ours] = name
        for modality, names in self.features.items():
            for name in names:
                existing(source, name, columns, f"wanted for the {modality} feature")
        for ours, name in self.user_fields.items():
            existing(source, name, columns, f"wanted for the users' {ours}")
        return found

    def columns(self, resolved: dict[str, str]) -> list[str]:
        """Every column to read, once each."""
        wanted = [*resolved.values(), *(name for names in self.features.values() for name in names)]
        return list(dict.fromkeys([*wanted, *self.user_fields.values()]))


def wanted_of(
    mapping: dict[str, str] | None,
    features: dict[str, list[str]] | None,
    user_fields: dict[str, str] | None = None,
) -> Wanted:
    """Check the names in `mapping`. Raises `InputError` for a name that is none of ours."""
    renamed = {
        ("part" if ours == "split" else ours): name for ours, name in (mapping or {}).items()
    }
    unknown = [ours for ours in renamed if ours not in ALIASES]
    if unknown:
        raise InputError(
            f"Got a mapping for {unknown[0]!r}, expected one of {', '.join(ALIASES)} or split."
        )
    vectors = {name: list(columns) for name, columns in (features or {}).items()}
    return Wanted(renamed, vectors, dict(user_fields or {}))


def existing(source: Path, name: str, columns: Iterable[str], why: str) -> str:
    """`name` if `columns` has it, else an `InputError` that lists them and suggests one."""
    have = [column for column in columns if column != ROW]
    if name in have:
        return name
    near = difflib.get_close_matches(name, have, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{source} has no column {name!r} ({why}). It has: {', '.join(have)}.{guess}")


@dataclass
class Loaded:
    """What an importer gives: rows of the source, and what could not be read."""

    frame: pl.DataFrame
    """The source's columns and `ROW`."""
    columns: dict[str, str]
    """Our names to columns of `frame`."""
    faults: list[Fault] = field(default_factory=list)
    read: int = 0
    """Rows seen, faulty ones included."""
    features: list[Feature] = field(default_factory=list)
    """Features the source itself holds, over the rows of `frame`."""
    source: dict[str, Any] = field(default_factory=dict)
    """Kept in `dataset.toml` (the folder of the clips, for one)."""
    warnings: list[str] = field(default_factory=list)


class Importer(Protocol):
    """One format. Instances stand in `reeltag.data.importers.detect.IMPORTERS`."""

    name: str

    def accepts(self, source: Path) -> bool:
        """Whether `source` looks like this format (its suffix, its first bytes, its files)."""

    def load(self, source: Path, wanted: Wanted) -> Loaded:
        """Read `source`. Raises `InputError` where nothing of it can be used."""


def stem_suffix(source: Path) -> str:
    """The suffix that names the format: `.csv` of `a.csv` and of `a.csv.gz`."""
    suffixes = [suffix.lower() for suffix in source.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
