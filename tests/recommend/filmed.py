"""Posts with real clips, for tests of what a model heeded in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.features.job import extract
from tests.media.clips import write_clip


@contextmanager
def filmed(folder: Path, captions: Sequence[str], **extractors: Sequence[str]) -> Iterator[Dataset]:
    """A post a caption, by two users, of the clips 0.mp4, 1.mp4 and 2.mp4 in turn, with split main.

    Extracts the features that are named by modality; the cache lies in `folder` meanwhile.
    """
    count = len(captions)
    clips = [write_clip(folder / f"{n}.mp4", frames=25, noise=n) for n in range(3)]
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(count)],
            "user": [f"u{n % 2}" for n in range(count)],
            "caption": captions,
            "hashtags": [[f"by{n % 2}", f"t{n % 3}"] for n in range(count)],
            "clip": [str(clips[n % 3]) for n in range(count)],
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELTAG_CACHE", str(folder / "cache"))
        dataset = Dataset.create(folder / "data", posts, source={"format": "generated"})
        extract(dataset, workers=1, **extractors)
        make_split(dataset, "main", SplitRecipe())
        yield dataset
