"""Posts with sequences of each modality, LOGO on them, and its equations in NumPy."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Manifest, ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.logo import Logo
from reeltag.models.registry import build
from tests.conftest import make_dataset

WIDTHS = {"visual": 5, "acoustic": 4, "textual": 3}
SMALL = {
    "dim": 6, "hidden_visual": 7, "hidden_acoustic": 5, "hidden_textual": 4, "attention": 8,
}  # fmt: skip
POOLINGS = ("attention", "mean", "max", "last")


def with_sequences(path: Path) -> Dataset:
    """The small dataset with 0 to 4 steps of each modality a post; some posts lack one or all."""
    small = make_dataset(path.with_name(f"{path.name}-posts"))
    rng = np.random.default_rng(4)
    features = []
    for at, (modality, width) in enumerate(WIDTHS.items()):
        entries = [
            None
            if n % 11 == 0 or n % 5 == at
            else rng.standard_normal((1 + (n + at) % 4, width)) + n % 3
            for n in range(small.counts["posts"])
        ]
        manifest = Manifest(
            f"{modality}-steps", modality, "test", "sequence", (width,), "float16", "clip",
            options={"frames": 4},
        )  # fmt: skip
        features.append(ragged(manifest, entries))
    made = Dataset.create(path, small.posts, source={"format": "generated"}, features=features)
    make_split(made, "main", SplitRecipe())
    return made


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The small dataset with sequences, as LOGO reads it."""
    made = with_sequences(tmp_path_factory.mktemp("sequences") / "data")
    return open_corpus(made, "main", reads="sequence")


def built(corpus: Corpus, **settings: Any) -> Logo:
    torch.manual_seed(5)
    model = build("logo", {**SMALL, **settings}, Sizes.of(corpus.training))
    assert isinstance(model, Logo)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    model.fit(corpus.training)
    return model.eval()


def some(corpus: Corpus, count: int = 12) -> PostBatch:
    return corpus.batch(corpus.part("test"), torch.arange(count))


def training_batch(corpus: Corpus, count: int = 24, negatives: int = 3) -> TrainingBatch:
    own = corpus.training.posts.hashtags.select(torch.arange(count))
    drawn = torch.randint(
        len(corpus.hashtags), (len(own.values), negatives),
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    posts = corpus.training.batch(torch.arange(count))
    return TrainingBatch(posts, own.values, drawn, own.row_of_value)


def gradients(model: Logo, batch: TrainingBatch) -> None:
    """Two steps give every parameter a finite gradient."""
    for _ in range(2):
        loss = model.loss(batch)
        loss.backward()
        assert torch.isfinite(loss)
        model.after_backward(last=False)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, x)


def lstm(w: dict[str, np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
    """Eq. 1, a step at a time; torch stacks the gates as input, forget, cell, output."""
    width = w["weight_hh_l0"].shape[1]
    h, c, states = np.zeros(width), np.zeros(width), []
    for e in rows:
        gates = w["weight_ih_l0"] @ e + w["bias_ih_l0"] + w["weight_hh_l0"] @ h + w["bias_hh_l0"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return states


def part(w: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in w.items() if k.startswith(prefix)}


def naive_view_loss(x: np.ndarray, there: np.ndarray, hashtags: list[int], weight: float) -> float:
    """Eq. 5 by double loops, its sums divided by the number of pairs and of coordinates."""
    apart, alike = [], []
    rows, views = there.shape
    for r in range(rows):
        for m, k in itertools.combinations(range(views), 2):
            if there[r, m] and there[r, k]:
                apart.append(((x[r, m] - x[r, k]) ** 2).sum())
    for r, q in itertools.combinations(range(rows), 2):
        alike += [
            ((x[r, m] - x[q, m]) ** 2).sum()
            for m in range(views)
            if hashtags[r] == hashtags[q] and there[r, m] and there[q, m]
        ]
    total = sum(apart) / max(len(apart), 1) + weight * sum(alike) / max(len(alike), 1)
    return total / x.shape[2]
