"""Sequences and grids as means: from a dataset and from a batch, the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reeltag.data.batches import FeatureReader
from reeltag.data.corpus import open_corpus
from reeltag.data.feature import Feature, Manifest
from reeltag.data.pooled import pooled, pooled_manifests, pooled_reader
from tests.models.test_uhman import CHANNELS, with_grid


def test_a_grid_is_its_mean(tmp_path: Path) -> None:
    corpus = open_corpus(with_grid(tmp_path / "data"), "main", reads="grid")
    reader = pooled_reader(corpus.reader, torch.arange(len(corpus.dataset.posts)))
    assert reader.manifests["visual-grid"].shape == (CHANNELS,)
    feature = corpus.dataset.feature("visual-grid")
    vectors, present, steps = reader.read(torch.arange(24))
    assert steps == {}
    for post in range(24):
        assert bool(present["visual-grid"][post]) == bool(feature.present[post])
        entry = feature.row(post).astype(float)
        expected = entry.mean((0, 1)) if len(entry) else np.zeros(CHANNELS)
        np.testing.assert_allclose(vectors["visual-grid"][post], expected, atol=1e-5)
    posts = corpus.part("test")
    batch = pooled(corpus.batch(posts, torch.arange(len(posts))))
    again, _, _ = reader.read(posts.rows)
    torch.testing.assert_close(batch.vectors["visual-grid"], again["visual-grid"])


def test_only_the_rows_asked_for_are_read(tmp_path: Path) -> None:
    corpus = open_corpus(with_grid(tmp_path / "data"), "main", reads="grid")
    train = corpus.training.posts.rows
    _, present, _ = pooled_reader(corpus.reader, train).read(corpus.part("test").rows)
    assert not present["visual-grid"].any()


def test_tokens_have_no_mean_and_vectors_stay() -> None:
    tokens = Manifest("textual-tokens", "textual", "tokens", "sequence", (), "int32", "caption")
    vector = Manifest("visual-test", "visual", "test", "vector", (3,), "float32", "columns")
    assert list(pooled_manifests({"t": tokens, "v": vector})) == ["v"]
    offsets = np.array([0, 2], np.int64)
    words = Feature(tokens, np.zeros(2, np.int32), np.ones(1, bool), offsets)
    rows = Feature(vector, np.ones((1, 3), np.float32), np.ones(1, bool))
    one = torch.tensor([0])
    vectors, _, _ = pooled_reader(FeatureReader([words, rows]), one).read(one)
    assert list(vectors) == ["visual-test"]
