"""Small generated data that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, settings

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature, Manifest
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.features.base import CaptionExtractor
from reeltag.features.registry import make

torch.set_num_threads(1)
# A busy machine must not fail a property: no time limit on an example.
settings.register_profile("reeltag", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("reeltag")

TOPICS = ("sea", "city", "food", "game")


def vector_feature(modality: str, values: np.ndarray, present: np.ndarray | None = None) -> Feature:
    """A vector feature named `<modality>-test` from rows (n, dim)."""
    manifest = Manifest(
        name=f"{modality}-test",
        modality=modality,
        extractor="test",
        kind="vector",
        shape=values.shape[1:],
        dtype="float32",
        source="columns",
    )
    if present is None:
        present = np.ones(len(values), dtype=bool)
    return Feature(manifest, values.astype(np.float32), present)


def caption_vectors(captions: list[str], extractor: str = "sif") -> Feature:
    """The captions' vectors by a real extractor, whose weights a package brings."""
    made = make("textual", extractor)
    assert isinstance(made, CaptionExtractor)
    rows = made.extract(captions)
    present = np.array([row is not None for row in rows])
    values = np.stack([np.zeros(made.shape, np.float32) if row is None else row for row in rows])
    return Feature(made.manifest(), values, present)


def make_dataset(path: Path, posts: int = 240, users: int = 8, seed: int = 0) -> Dataset:
    """Posts whose hashtags depend on the topic (seen in the features) and on the user."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(len(TOPICS), size=posts)
    user = rng.integers(users, size=posts)
    tags = [
        [f"{TOPICS[t]}{u % 3}", TOPICS[t], *([f"by{u}"] if draw < 0.5 else [])]
        for t, u, draw in zip(topic, user, rng.random(posts), strict=True)
    ]
    visual = np.eye(len(TOPICS))[topic] + 0.2 * rng.standard_normal((posts, len(TOPICS)))
    textual = np.eye(len(TOPICS))[topic] @ rng.standard_normal((len(TOPICS), 6))
    present = rng.random(posts) < 0.9
    frame = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(posts)],
            "user": [f"u{u}" for u in user],
            "time": pl.Series(1_700_000_000 + 3600 * np.arange(posts)).cast(pl.Int64) * 1_000_000,
            "caption": [f"a day at the {TOPICS[t]}" for t in topic],
            "hashtags": tags,
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us")))
    return Dataset.create(
        path,
        frame,
        source={"format": "generated"},
        features=[vector_feature("visual", visual), vector_feature("textual", textual, present)],
    )


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A small dataset with users, two modalities (one partly missing) and split `main`."""
    made = make_dataset(tmp_path_factory.mktemp("data") / "tiny")
    make_split(made, "main", SplitRecipe())
    return made


@pytest.fixture(scope="session")
def corpus(dataset: Dataset) -> Corpus:
    """The corpus of the small dataset."""
    return open_corpus(dataset, "main")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; the test is skipped, visibly, where it is absent."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("REELTAG_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder} (set REELTAG_SHARED_DATA)")
    return folder
