"""A finished feature and the clips of today go in; what of it still holds comes out.

Beside its values, a feature that was read from clips keeps `contents.npy`: the SHA-256 of
each post's clip as it was read, (posts, 32). A clip that is another one now is read again. One
that is gone is not: what was read of it still holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature
from reeltag.features.contents import ClipContents
from reeltag.features.worker import Reading
from reeltag.progress import track

CONTENTS, FAILURES = "contents.npy", "failures.parquet"
"""Files of a feature, beside those of `reeltag.data.feature`."""
_BLOCK = 256
"""Clips that are compared at a time."""


@dataclass
class Earlier:
    """A finished feature of which some clips have changed."""

    feature: Feature
    failures: dict[int, str]
    """Why the clip of a post (its row) could not be read."""
    contents: NDArray[np.uint8]
    """(posts, 32): of the clips as they were read, of changed ones as they are now."""
    changed: NDArray[np.bool_]
    """(posts): the clip is another one than was read."""

    def reading(self, post: int) -> Reading:
        """What was read of a post whose clip has not changed."""
        content = self.contents[post].tobytes()
        if post in self.failures:
            return content, self.failures[post]
        entry = self.feature.row(post) if self.feature.present[post] else None
        return content, {self.feature.name: entry}


def changed_since(
    dataset: Dataset, name: str, rows: NDArray[np.int64], clips: ClipContents
) -> Earlier | None:
    """The finished feature `name`, where clips of `rows` are others now; None where none is.

    What an earlier release made does not tell what it was read from, and counts as unchanged.
    """
    folder = dataset.path / "features" / name
    feature = dataset.feature(name)
    if not (folder / CONTENTS).is_file():
        return None
    contents = np.load(folder / CONTENTS, allow_pickle=False)
    changed = np.zeros(len(contents), bool)
    with track("Comparing clips", len(rows)) as tracker:
        for start in range(0, len(rows), _BLOCK):
            posts = rows[start : start + _BLOCK]
            now = clips(posts)
            other = now.any(axis=1) & (now != contents[posts]).any(axis=1)
            changed[posts[other]] = True
            contents[posts[other]] = now[other]
            tracker.advance(len(posts))
    if not changed.any():
        return None
    reasons = dict(pl.read_parquet(folder / FAILURES).select("post", "reason").iter_rows())
    failed = np.flatnonzero(dataset.posts["post"].is_in(list(reasons)).to_numpy())
    failures = {post: reasons[dataset.posts["post"][post]] for post in failed.tolist()}
    return Earlier(feature, failures, contents, changed)
