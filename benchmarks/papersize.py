"""Random posts of the right shape: the sizes of a paper's data set in, a training set out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch

from reeltag.data.batches import NO_TIME, FeatureReader
from reeltag.data.corpus import Posts, TrainingSet
from reeltag.data.feature import Feature, Manifest
from reeltag.data.profiles import Fields
from reeltag.data.ragged import Ragged
from reeltag.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Size:
    """Counts of a data set; triples are (post, hashtag) uses in training."""

    posts: int
    users: int
    hashtags: int
    triples: int
    width: int = 2276
    """2048 visual + 128 acoustic + 100 textual, as in GCN-PHR."""


YFCC100M = Size(134_992, 8_126, 23_054, 846_000)
INSTAGRAM = Size(48_888, 2_303, 12_194, 334_000)


def scaled(size: Size, share: float) -> Size:
    """The same shape with a share of the posts, users and triples."""
    return Size(
        int(size.posts * share),
        int(size.users * share),
        size.hashtags,
        int(size.triples * share),
        size.width,
    )


def uses_of(size: Size, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (post, hashtag) uses with Zipf-like hashtags: posts (m,), hashtags (m,)."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, size.hashtags + 1) ** 0.9
    keys = np.zeros(0, dtype=np.int64)
    while len(keys) < size.triples:
        count = int(1.2 * (size.triples - len(keys))) + 1000
        posts = rng.integers(size.posts, size=count)
        tags = rng.choice(size.hashtags, size=count, p=weights / weights.sum())
        keys = np.unique(np.concatenate([keys, posts * size.hashtags + tags]))
    keys = np.sort(rng.permutation(keys)[: size.triples])
    return keys // size.hashtags, keys % size.hashtags


def feature_file(path: Path, size: Size, seed: int = 0) -> Path:
    """A float16 array (posts, width) on disk, written in blocks."""
    rng = np.random.default_rng(seed)
    values = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float16, shape=(size.posts, size.width)
    )
    for start in range(0, size.posts, 4096):
        block = values[start : start + 4096]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    values.flush()
    return path


def training_set(size: Size, features: Path, seed: int = 0) -> TrainingSet:
    """A training set over a memory-mapped feature file."""
    rng = np.random.default_rng(seed)
    posts, tags = uses_of(size, seed)
    values = np.load(features, mmap_mode="r")
    manifest = Manifest(
        "visual-random", "visual", "random", "vector", (size.width,), "float16", "columns"
    )
    rows = torch.arange(size.posts)
    uses = Ragged.from_pairs(torch.from_numpy(posts), torch.from_numpy(tags), size.posts)
    users = rng.integers(size.users, size=size.posts)
    nothing = Ragged(torch.zeros(0, dtype=torch.int64), torch.zeros(size.posts + 1).long())
    return TrainingSet(
        Posts(
            rows,
            torch.from_numpy(users),
            uses,
            torch.zeros(size.posts).long(),
            torch.full((size.posts,), NO_TIME),
            nothing,
            torch.zeros(size.posts, 0, dtype=torch.int64),
        ),
        Vocabulary(
            [f"t{n}" for n in range(size.hashtags)],
            np.bincount(tags, minlength=size.hashtags).tolist(),
        ),
        Vocabulary(
            [f"u{n}" for n in range(size.users)], np.bincount(users, minlength=size.users).tolist()
        ),
        Vocabulary([], []),
        Fields(),
        FeatureReader([Feature(manifest, values, np.ones(size.posts, dtype=bool))]),
        lambda: pl.Series([""] * size.posts),
    )


def _named(letter: str, counts: np.ndarray) -> Vocabulary:
    return Vocabulary([f"{letter}{n}" for n in range(len(counts))], counts.tolist())
