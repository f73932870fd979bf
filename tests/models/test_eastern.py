"""EASTERN against its equations, one step, modality and filter at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from reeltag.data.corpus import Corpus
from tests.models.learning import by_posts, taught
from tests.models.sequenced import lstm, part
from tests.models.softmax_contract import SoftmaxContract, Weights, sequences

__all__ = ["sequences"]


def concepts(w: Weights, modality: str, rows: np.ndarray) -> np.ndarray:
    """a^m of one modality's standardised steps (T, width)."""
    h = lstm(part(dict(w), f"lstms.{modality}."), rows)[-1]
    x = w[f"maps.{modality}.weight"] @ h + w[f"maps.{modality}.bias"]
    return np.array([max(0.0, d @ x + e) for d, e in zip(w["atoms.weight"], w["atoms.bias"],
                                                        strict=True)])  # fmt: skip


class TestEastern(SoftmaxContract):
    name = "eastern"
    settings = {  # noqa: RUF012
        "dim": 6, "hidden_visual": 7, "hidden_acoustic": 5, "hidden_textual": 4, "concepts": 9,
        "sparsity": 0.02,
    }  # fmt: skip

    def state(self, model: Any, w: Weights, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.concatenate(
            [concepts(w, m, rows[m]) if len(rows[m]) else np.zeros(9) for m in model.modalities]
        )

    def besides(self, model: Any, w: Weights, posts: list[Mapping[str, np.ndarray]]) -> float:
        sizes = [
            np.abs(concepts(w, m, rows)).sum()
            for of in posts
            for m, rows in of.items()
            if len(rows)
        ]
        return 0.02 * float(np.mean(sizes))

    def test_sparsity_silences_concepts(self, sequences: Corpus) -> None:
        silent = []
        for weight in (0.0, 0.3):
            model = self.built(sequences, sparsity=weight, dropout=0.0)
            taught(model, sequences, 40)
            found, there = model.concepts(by_posts(sequences, torch.arange(60)).posts)
            silent.append(float((found[there] < 1e-6).float().mean()))
        assert silent[1] > silent[0] + 0.2
