"""The blend: parts made comparable, silent parts, weights chosen on validation posts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.ragged import Ragged
from reeltag.evaluation.metrics import judge_scores
from reeltag.evaluation.protocols import judge
from reeltag.experiments.train import train_run
from reeltag.models.blend import Blend, simplex
from reeltag.models.contract import Model, Sizes
from reeltag.models.registry import build
from reeltag.training.run import load_run
from tests.models.contract import ModelContract


def validation(corpus: Corpus, block: int = 9) -> Iterator[tuple[PostBatch, Ragged]]:
    posts = corpus.part("validation")
    for index in torch.split(torch.arange(len(posts)), block):
        yield corpus.batch(posts, index), posts.hashtags.select(index)


class TestBlend(ModelContract):
    name = "blend"
    words = "count"

    @pytest.fixture
    def corpus(self, dataset: Dataset) -> Corpus:
        return open_corpus(dataset, "main", words="count")

    @pytest.mark.parametrize("scale", ["sum", "max"])
    def test_scores_are_the_weighted_parts(self, corpus: Corpus, scale: str) -> None:
        training = corpus.training
        settings = {"history": "user-history", "scale": scale, "neighbours": 5, "smoothing": 2.0}
        model = build("blend", settings, Sizes.of(training))
        model.fit(training)
        model.weights = torch.tensor([0.5, 0.2, 0.3])
        parts = [
            build("user-history", {}, Sizes.of(training)),
            build("content-knn", {"neighbours": 5}, Sizes.of(training)),
            build("caption-words", {"smoothing": 2.0}, Sizes.of(training)),
        ]
        posts = self.posts(corpus)
        expected = np.zeros((len(posts), len(corpus.hashtags)))
        for weight, part in zip((0.5, 0.2, 0.3), parts, strict=True):
            part.fit(training)
            for row, scores in enumerate(part.scored(posts).double().numpy()):
                spoken = any(bool(p[row]) for p in posts.present.values())
                if part.name != "content-knn" or spoken:
                    expected[row] += weight * scores / (scores.sum() if scale == "sum" else
                                                        scores.max())  # fmt: skip
        np.testing.assert_allclose(model.scored(posts).numpy(), expected, rtol=1e-4, atol=3e-6)

    @pytest.mark.parametrize("select", ["recall@10", "ndcg@10"])
    def test_weights_are_the_best_of_the_grid(self, corpus: Corpus, select: str) -> None:
        model = build("blend", {"steps": 4, "select": select}, Sizes.of(corpus.training))
        assert isinstance(model, Blend)
        model.fit(corpus.training)
        model.choose(validation(corpus), judge_scores)
        chosen, scores = model.weights, []
        for weights in simplex(3, 4):
            model.weights = weights
            judged = judge(model, corpus, corpus.part("validation"), tops=(10,))
            scores.append(float(judged.values[select].mean()))
        np.testing.assert_array_equal(chosen.numpy(), simplex(3, 4)[int(np.argmax(scores))].numpy())

    def test_a_part_with_nothing_to_say_is_silent(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, Blend)
        posts = self.posts(corpus, 3)
        silent = replace(
            posts,
            users=torch.full_like(posts.users, -1),
            present={name: torch.zeros_like(p) for name, p in posts.present.items()},
            words=Ragged(torch.zeros(0).long(), torch.zeros(4).long()),
        )
        assert not model.part_scores(model.encode(silent)).any()
        torch.testing.assert_close(model.scored(silent)[0], model.popular)

    @pytest.mark.parametrize("lacking", ["users", "features", "words", "everything"])
    def test_works_without(self, corpus: Corpus, lacking: str) -> None:
        sizes = Sizes.of(corpus.training)
        absent = {"users": {"users": 0}, "features": {"manifests": {}}, "words": {"words": 0}}
        everything = {k: v for one in absent.values() for k, v in one.items()}
        training = corpus.training
        if lacking in ("users", "everything"):
            nobody = torch.full_like(training.posts.users, -1)
            training = replace(training, posts=replace(training.posts, users=nobody))
        model = build("blend", {}, replace(sizes, **absent.get(lacking, everything)))
        assert isinstance(model, Blend)
        model.fit(training)
        posts = replace(self.posts(corpus), users=torch.full((12,), -1))
        if lacking not in ("users", "everything"):
            posts = self.posts(corpus)
        model.choose([(posts, corpus.part("test").hashtags.select(torch.arange(12)))], judge_scores)
        assert len(model.weights) == (0 if lacking == "everything" else 2)
        assert torch.isfinite(model.scored(posts)).all()

    def test_history_may_count_all_uses_alike(self, corpus: Corpus) -> None:
        model = build("blend", {"history": "user-history"}, Sizes.of(corpus.training))
        model.fit(corpus.training)
        assert not torch.equal(
            model.scored(self.posts(corpus)), self.fitted(corpus).scored(self.posts(corpus))
        )


def test_the_grid_covers_the_simplex() -> None:
    grid = simplex(3, 10)
    assert len(grid) == 66
    assert grid.unique(dim=0).shape == grid.shape
    torch.testing.assert_close(grid.sum(1), torch.ones(66))
    assert simplex(1, 10).tolist() == [[1.0]]


def test_a_run_stores_the_weights_chosen_on_validation(dataset: Dataset, tmp_path: Path) -> None:
    train_run(dataset, "main", "blend", {"steps": 4}, tmp_path / "run")
    corpus = open_corpus(dataset, "main", words="count")
    model: Model = build("blend", {"steps": 4}, Sizes.of(corpus.training))
    assert isinstance(model, Blend)
    model.fit(corpus.training)
    model.choose(validation(corpus), judge_scores)
    stored = load_run(tmp_path / "run").model
    assert isinstance(stored, Blend)
    assert torch.equal(stored.weights, model.weights)
