"""A source in any known format in, a ReelTag dataset out: `import_posts`.

base, files      the interface of an importer; files plain or gzipped
jsonl, separated, parquet, folder (with sidecar), gcn_phr (with restricted_npy)
detect           which importer a source is for
posts            raw rows → posts: ids, times, hashtags, captions without hashtags
lists, times     the many spellings of lists and times
columns          source columns → vector features
users            source columns, or a table of users → what is known about each user
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature
from reeltag.data.importers.base import ROW, Fault, Loaded, Wanted, wanted_of
from reeltag.data.importers.columns import feature_of
from reeltag.data.importers.detect import IMPORTERS, importer_for
from reeltag.data.importers.posts import posts_of
from reeltag.data.importers.users import check_names, known_users
from reeltag.data.schema import MODALITIES
from reeltag.errors import InputError
from reeltag.storage import atomic_file

__all__ = ["FORMATS", "ImportReport", "import_posts"]

FORMATS = ("auto", *IMPORTERS)


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    dataset: Dataset
    format: str
    """The format read, also where `auto` was asked for."""
    read: int
    """Rows (or clips) seen."""
    kept: int
    """Posts written."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Rows left out, by reason."""
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    """Remarks for people, one sentence each."""


def import_posts(
    source: Path | str,
    dataset: Path | str,
    *,
    format: str = "auto",
    mapping: dict[str, str] | None = None,
    features: dict[str, list[str]] | None = None,
    user_fields: dict[str, str] | None = None,
    users: Path | str | None = None,
    rejects: Path | str | None = None,
    replace: bool = False,
) -> ImportReport:
    """Read `source` and write it as a new dataset; nothing stays behind when it fails.

    Args:
        format: one of `FORMATS`.
        mapping: our names (post, user, hashtags, caption, time, clip, part or split, place,
            music) to the source's columns. Names left out take the column of that name or of a
            usual one (`reeltag.data.importers.base.ALIASES`); without a post column the row
            number is the id, without hashtags they are found in the caption.
        features: modality to columns that become its vector feature.
        user_fields: name of a field of the users (gender, age, country ...) to the column that
            says it; the most common value among a user's posts counts, of equally common ones
            the first.
        users: a table (jsonl, csv or parquet) with a row a user: who it is, and a field a
            column. Where both know something of a user, the table counts.
        rejects: where to write rows that cannot be read (JSON Lines: row, reason, raw) and go on;
            without it the first such row raises `RowError`. A post id that stands twice and a
            clip without a usable sidecar are left out and counted in either case.
        replace: overwrite a dataset of that name.

    Raises:
        InputError: the source, a column or the target cannot be used.
        RowError: a row cannot be read and there is no rejects file.
    """
    started = time.monotonic()
    source, dataset = Path(source), Path(dataset)
    rejects = None if rejects is None else Path(rejects)
    users = None if users is None else Path(users)
    _check(source, dataset, features, rejects, replace)
    check_names(user_fields or {}, "Got a user field")
    if users is not None and not users.is_file():
        raise InputError(f"{users} does not exist or is no file. Expected a table of users.")
    wanted = wanted_of(mapping, features, user_fields)
    importer = importer_for(source, format)
    loaded = importer.load(source, wanted)
    posts, faults, remarks = posts_of(source, loaded)
    faults = sorted([*loaded.faults, *faults], key=lambda fault: fault.row)
    if rejects is None and (fatal := next((fault for fault in faults if fault.fatal), None)):
        raise fatal.error(source)
    if posts.is_empty():
        raise InputError(f"{source}: none of {loaded.read:,} rows is a post. {_first(faults)}")
    # What is left to read of the source; the rest of it is in `posts`.
    more_of = {name for names in wanted.features.values() for name in names}
    loaded.frame = loaded.frame.select(ROW, *sorted(more_of | {*wanted.user_fields.values()}))
    made = _features(loaded, wanted, posts)
    known, more = known_users(source, loaded, posts, wanted, users)
    about = {
        "path": str(source.resolve()),
        "format": importer.name,
        "mapping": loaded.columns,
        "read": loaded.read,
        "rejected": _counts(faults),
        **loaded.source,
    }
    if known is not None:
        about["users"] = {
            "fields": known.columns[1:],
            "columns": wanted.user_fields,
            "table": None if users is None else str(users.resolve()),
        }
    with _rejects_file(rejects, faults):
        written = Dataset.create(
            dataset, posts.drop(ROW), source=about, features=made, users=known, replace=replace
        )
    return ImportReport(
        dataset=written,
        format=importer.name,
        read=loaded.read,
        kept=posts.height,
        rejected=_counts(faults),
        seconds=time.monotonic() - started,
        warnings=[*loaded.warnings, *remarks, *more],
    )


def _check(
    source: Path,
    dataset: Path,
    features: dict[str, list[str]] | None,
    rejects: Path | None,
    replace: bool,
) -> None:
    """Refuse early what would fail late."""
    if dataset.exists() and not replace:
        raise InputError(
            f"{dataset} exists already. Expected a new folder: choose another name, remove it, "
            "or pass --replace."
        )
    if dataset.resolve() == source.resolve():
        raise InputError(f"{dataset} is the source itself. Choose another folder.")
    if rejects is not None and rejects.resolve() == source.resolve():
        raise InputError(f"{rejects} is the source itself. Choose another file for the rejects.")
    for modality in features or {}:
        if modality not in MODALITIES:
            raise InputError(
                f"Got a feature for {modality!r}, expected one of {', '.join(MODALITIES)}."
            )


def _features(loaded: Loaded, wanted: Wanted, posts: pl.DataFrame) -> list[Feature]:
    """The source's own features and those from columns, over the posts that are kept."""
    frame = loaded.frame
    made = list(loaded.features)
    if posts.height != frame.height:
        kept = frame[ROW].is_in(posts[ROW].implode())
        made = [feature.select(np.asarray(kept.arg_true(), dtype=np.int64)) for feature in made]
        frame = frame.filter(kept)
    made += [feature_of(modality, frame, names) for modality, names in wanted.features.items()]
    return made


def _counts(faults: list[Fault]) -> dict[str, int]:
    return dict(Counter(fault.reason for fault in faults).most_common())


def _first(faults: list[Fault]) -> str:
    if not faults:
        return "Expected at least one."
    return f"The first was refused because: {faults[0].detail or faults[0].reason}."


@contextmanager
def _rejects_file(path: Path | None, faults: list[Fault]) -> Iterator[None]:
    """Write the rejects; where the block then fails, none are left that were not there before.

    They come first: a dataset that is there has them, whenever the power was cut.
    """
    if path is None:
        yield
        return
    new = not path.exists()
    with atomic_file(path) as stream:
        for fault in faults:
            reason = f"{fault.reason}: {fault.detail}" if fault.detail else fault.reason
            entry = {"row": fault.row, "reason": reason, "raw": fault.raw}
            stream.write(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    try:
        yield
    except BaseException:
        if new:
            path.unlink(missing_ok=True)
        raise
