"""The music and the place of posts in, ids of those known out; and the clock of a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from reeltag.data.batches import NO_TIME
from reeltag.data.vocabulary import Vocabulary

MIN_POSTS = 2
"""Music or a place of fewer training posts is not known."""
CONTEXT_COLUMNS = ("music", "place")
"""Columns of posts, in the order of `Contexts.ids`."""
HOURS, DAYS = 24, 7


def _nothing() -> Vocabulary:
    return Vocabulary([], [])


@dataclass(frozen=True)
class Contexts:
    """Vocabularies of the music and the places of at least `MIN_POSTS` training posts.

    Names are compared without the space around them and without regard to case.
    """

    music: Vocabulary = field(default_factory=_nothing)
    place: Vocabulary = field(default_factory=_nothing)

    @property
    def widths(self) -> tuple[int, int]:
        """How many are known of each kind."""
        return len(self.music), len(self.place)

    @staticmethod
    def count(posts: pl.DataFrame) -> Contexts:
        """Those of `posts`, which have the columns `CONTEXT_COLUMNS`."""
        counted = (
            Vocabulary.count(_normalised(posts[kind]), MIN_POSTS) for kind in CONTEXT_COLUMNS
        )
        return Contexts(*counted)

    def ids(self, posts: pl.DataFrame) -> Tensor:
        """Ids (n, 2) of each post's music and place, -1 where absent or not known."""
        known = [getattr(self, kind).ids_of(_normalised(posts[kind])) for kind in CONTEXT_COLUMNS]
        return torch.stack([torch.from_numpy(ids.copy()) for ids in known], 1)

    def ids_of(self, music: str | None, place: str | None) -> Tensor:
        """The same (1, 2) of one post."""
        known = self.music.id_of(_compared(music)), self.place.id_of(_compared(place))
        return torch.tensor([known])

    def save(self, folder: Path) -> None:
        """Write a Parquet file for each kind, atomically."""
        for kind in CONTEXT_COLUMNS:
            getattr(self, kind).save(folder / f"{kind}.parquet")

    @staticmethod
    def load(folder: Path) -> Contexts:
        """Read what `save` wrote; nothing is known where there is no file.

        Raises `RunError` where one is damaged.
        """
        files = {kind: folder / f"{kind}.parquet" for kind in CONTEXT_COLUMNS}
        return Contexts(**{k: Vocabulary.load(path) for k, path in files.items() if path.is_file()})


def clock_of(times: Tensor) -> tuple[Tensor, Tensor]:
    """Hour 0-23 and weekday (Monday 0), UTC, of seconds since 1970; 24 and 7 where unknown."""
    hour = torch.div(times, 3600, rounding_mode="floor") % HOURS
    # 1970 began on a Thursday.
    weekday = (torch.div(times, 86400, rounding_mode="floor") + 3) % DAYS
    unknown = times == NO_TIME
    return hour.masked_fill(unknown, HOURS), weekday.masked_fill(unknown, DAYS)


def _compared(name: str | None) -> str | None:
    """A name as it is compared; None where nothing but space is left."""
    return (name or "").strip().casefold() or None


def _normalised(names: pl.Series) -> pl.Series:
    """Names (n,) as they are compared; null where nothing but space is left."""
    unique = names.drop_nulls().unique().cast(pl.Utf8)
    if unique.is_empty():
        return names.cast(pl.Utf8)
    compared = pl.Series([_compared(name) for name in unique], dtype=pl.Utf8)
    return names.replace_strict(unique, compared, default=None, return_dtype=pl.Utf8)
