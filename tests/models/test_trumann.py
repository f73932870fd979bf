"""TRUMANN against its equations, one post and modality at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from reeltag.data.corpus import Corpus
from reeltag.models.layers.common_space import consensus, view_loss
from tests.models.learning import taught
from tests.models.softmax_contract import SoftmaxContract, Weights, sequences

__all__ = ["sequences"]


def mapped(w: Weights, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """x^m of the modalities a post has."""
    return {
        m: w[f"maps.{m}.weight"] @ v.mean(0) + w[f"maps.{m}.bias"]
        for m, v in rows.items()
        if len(v)
    }


class TestTrumann(SoftmaxContract):
    name = "trumann"
    settings = {"dim": 6, "agreement": 0.7}  # noqa: RUF012

    def state(self, model: Any, w: Weights, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        x = mapped(w, rows)
        return np.concatenate([x.get(m, np.zeros(6)) for m in model.modalities])

    def besides(self, model: Any, w: Weights, posts: list[Mapping[str, np.ndarray]]) -> float:
        apart = []
        for rows in posts:
            x = list(mapped(w, rows).values())
            apart += [((one - np.mean(x, 0)) ** 2).sum() for one in x]
        return 0.7 * float(np.mean(apart))


class TestTrumannMean(TestTrumann):
    settings = {"dim": 6, "agreement": 0.7, "fusion": "mean"}  # noqa: RUF012

    def state(self, model: Any, w: Weights, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        x = list(mapped(w, rows).values())
        return np.mean(x, 0) if x else np.zeros(6)


def test_distance_from_the_consensus_is_that_of_pairs() -> None:
    """Of two vectors: |x - b|² + |y - b|² = |x - y|² / 2."""
    torch.manual_seed(0)
    vectors, there = torch.randn(20, 2, 5), torch.ones(20, 2, dtype=torch.bool)
    _, apart = consensus(vectors, there)
    pairs = view_loss(vectors, there, torch.arange(20), 0.0)  # a mean over coordinates too
    torch.testing.assert_close(4 * apart, 5 * pairs)


def test_agreement_brings_modalities_together(sequences: Corpus) -> None:
    apart = []
    for weight in (0.0, 10.0):
        model = TestTrumann().built(sequences, agreement=weight)
        taught(model, sequences, 120)
        posts = sequences.batch(sequences.part("test"), torch.arange(14))
        vectors, there = model.mapped(posts)
        apart.append(float(consensus(vectors, there)[1].detach()))
    assert apart[1] < 0.3 * apart[0]
