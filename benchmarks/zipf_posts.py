"""A number of posts in; a Parquet file of generated posts and a feature for each, by blocks, out.

Users and hashtags follow Zipf's law; a post has one to five hashtags, a caption of six words, a
time, and a vector of random numbers. Nothing can be learned from it: it is for time and memory.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

BLOCK = 250_000
WIDTH = 64
"""Numbers of a post's feature, float32."""
WORDS = 50_000
FIRST_POST, FIRST_SECOND = 7_200_000_000_000_000_000, 1_600_000_000


@dataclass(frozen=True)
class Size:
    """How much there is; by default a user for 10 posts and a hashtag for 50."""

    posts: int

    @property
    def users(self) -> int:
        """How many users there are to draw from."""
        return max(10, self.posts // 10)

    @property
    def hashtags(self) -> int:
        """How many hashtags there are to draw from."""
        return max(10, self.posts // 50)


def generate(folder: Path, size: Size, seed: int = 0) -> None:
    """Write `folder/posts.parquet` and `folder/values.npy` (posts, `WIDTH`)."""
    rng = np.random.default_rng(seed)
    users, tags = _zipf(size.users, 0.7), _zipf(size.hashtags, 0.9)
    words = _zipf(WORDS, 1.0)
    parts = folder / "parts"
    parts.mkdir(parents=True)
    values = np.lib.format.open_memmap(
        folder / "values.npy", mode="w+", dtype=np.float32, shape=(size.posts, WIDTH)
    )
    for number, start in enumerate(range(0, size.posts, BLOCK)):
        count = min(BLOCK, size.posts - start)
        values[start : start + count] = rng.standard_normal((count, WIDTH), dtype=np.float32)
        lengths = rng.integers(1, 6, count)
        rows = np.arange(start, start + count)
        table = pl.DataFrame(
            {
                "post": rows + FIRST_POST,
                "user": _named("user", _draw(rng, users, count)),
                "time": rows * 30 + FIRST_SECOND,
                "caption": _joined(_named("word", _draw(rng, words, 6 * count)), 6),
                "hashtags": _lists(_named("tag", _draw(rng, tags, int(lengths.sum()))), lengths),
            }
        )
        table.write_parquet(parts / f"{number:05}.parquet")
    values.flush()
    pl.scan_parquet(parts / "*.parquet").sink_parquet(folder / "posts.parquet")
    shutil.rmtree(parts)


def _zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """Chances of ranks 1 to `count`, added up."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    total: NDArray[np.float64] = np.cumsum(weights / weights.sum())
    return total


def _draw(rng: np.random.Generator, chances: NDArray[np.float64], count: int) -> pl.Series:
    drawn = np.searchsorted(chances, rng.random(count)).clip(max=len(chances) - 1)
    return pl.Series(drawn.astype(np.int32))


def _named(word: str, numbers: pl.Series) -> pl.Series:
    return word + numbers.cast(pl.Utf8)


def _joined(words: pl.Series, each: int) -> pl.Series:
    return words.reshape((-1, each)).arr.join(" ")


def _lists(values: pl.Series, lengths: NDArray[np.int64]) -> pl.Series:
    rows = pl.Series("row", np.repeat(np.arange(len(lengths)), lengths))
    frame = pl.DataFrame({"row": rows, "value": values})
    return frame.group_by("row", maintain_order=True).agg("value")["value"]
