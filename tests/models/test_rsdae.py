"""RSDAE against its equations, one caption, hashtag and pair of posts at a time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes
from reeltag.models.registry import build
from reeltag.models.rsdae import Rsdae
from tests.models.contract import TrainedContract
from tests.models.learning import beats_popularity, by_posts, taught
from tests.models.test_caption_words import rows_of

SMALL = {"dim": 5, "hidden": 7}


def through(w: dict[str, np.ndarray], side: str, x: np.ndarray) -> np.ndarray:
    for depth in itertools.count():
        if f"{side}.{depth}.weight" not in w:
            return x
        x = 1 / (1 + np.exp(-(w[f"{side}.{depth}.weight"] @ x + w[f"{side}.{depth}.bias"])))
    raise AssertionError


def weights_of(model: Rsdae) -> dict[str, np.ndarray]:
    return {k: v.double().numpy() for k, v in model.state_dict().items()}


def bag(words: list[int], size: int) -> np.ndarray:
    return np.array([float(n in words) for n in range(size)])


class TestRsdae(TrainedContract):
    name = "rsdae"
    settings = SMALL
    uses_features = False
    uses_users = False
    words = "count"

    @pytest.fixture
    def corpus(self, dataset: Dataset) -> Corpus:
        return open_corpus(dataset, "main", words="count")

    def built(self, corpus: Corpus, **settings: Any) -> Rsdae:
        torch.manual_seed(5)
        model = build("rsdae", {**SMALL, **settings}, Sizes.of(corpus.training))
        assert isinstance(model, Rsdae)
        model.fit(corpus.training)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.7)
        return model.eval()

    @pytest.mark.parametrize("layers", [0, 1, 2])
    def test_scores_are_the_equations(self, corpus: Corpus, layers: int) -> None:
        model = self.built(corpus, layers=layers)
        w, posts = weights_of(model), self.posts(corpus)
        scores = model.scored(posts).numpy()
        for row, words in enumerate(rows_of(posts.words)):
            z = through(w, "encoder", bag(words, len(corpus.words)))
            for j in range(len(corpus.hashtags)):
                expected = w["hashtag"][j] @ z + w["bias"][j]
                np.testing.assert_allclose(scores[row, j], expected, rtol=1e-4, atol=1e-5)

    def test_loss_is_its_three_terms(self, corpus: Corpus) -> None:
        config = {"noise": 0.0, "reconstruction": 0.6, "relation": 1.7, "unused": 0.2}
        model = self.built(corpus, **config)
        batch, w = by_posts(corpus, torch.arange(9)), weights_of(model)
        captions, tags = rows_of(batch.posts.words), rows_of(corpus.training.posts.hashtags)
        x = [bag(words, len(corpus.words)) for words in captions]
        z = [through(w, "encoder", one) for one in x]
        confidence = squares = 0.0
        for row in range(9):
            for j in range(len(corpus.hashtags)):
                used = j in tags[row]
                score = w["hashtag"][j] @ z[row] + w["bias"][j]
                confidence += (1.0 if used else 0.2) * (used - score) ** 2
            squares += ((through(w, "decoder", z[row]) - x[row]) ** 2).sum()
        apart = [
            ((z[r] - z[q]) ** 2).sum()
            for r, q in itertools.combinations(range(9), 2)
            for _ in set(tags[r]) & set(tags[q])
        ]
        expected = (confidence / 9 + 0.6 * squares / 9 + 1.7 * np.mean(apart)) / 2
        assert float(model.loss(batch).detach()) == pytest.approx(expected, rel=1e-4)

    def test_noise_masks_words_but_not_what_is_wanted_back(self, corpus: Corpus) -> None:
        """Half the words masked: their mean is half the bag, and the clean bag is the target."""
        model = self.built(corpus)
        posts = corpus.training.batch(torch.zeros(400, dtype=torch.int64))
        torch.manual_seed(0)
        keep = (torch.rand(len(posts.words.values)) >= 0.5).float()
        clean, noisy = model.bag(posts), model.bag(posts, keep)
        assert not noisy[clean == 0].any()
        there = clean[0] > 0
        torch.testing.assert_close(noisy[:, there].mean(0), torch.full((int(there.sum()),), 0.5),
                                   atol=0.1, rtol=0)  # fmt: skip

    def test_captions_without_words(self, corpus: Corpus) -> None:
        """They have finite gradients, and all the same scores."""
        model = self.built(corpus).train()
        batch = by_posts(corpus, torch.arange(8))
        silent = replace(batch.posts, words=Ragged(torch.zeros(0).long(), torch.zeros(9).long()))
        loss = model.loss(replace(batch, posts=silent))
        loss.backward()  # type: ignore[no-untyped-call]
        assert math.isfinite(float(loss.detach()))
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        scores = model.scored(silent)
        torch.testing.assert_close(scores, scores[:1].expand_as(scores))

    def test_no_step_waits_for_the_device(self, corpus: Corpus) -> None:
        """On the meta device, reading a value or a size that depends on one is an error."""
        model = self.built(corpus).train().to("meta")
        model.loss(by_posts(corpus, torch.arange(12)).to("meta")).backward()  # type: ignore[no-untyped-call]
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_relation_brings_codes_together(self, corpus: Corpus) -> None:
        """Posts that share a hashtag lie closer, beside all posts, where the prior weighs more."""
        ratios = []
        for relation in (0.0, 30.0):
            torch.manual_seed(5)
            model = build("rsdae", {**SMALL, "relation": relation}, Sizes.of(corpus.training))
            assert isinstance(model, Rsdae)
            model.fit(corpus.training)
            taught(model, corpus, 60)
            with torch.no_grad():
                codes = model.encode(corpus.training.batch(torch.arange(80)))["query"][:, :-1]
            tags = rows_of(corpus.training.posts.hashtags)
            alike = [
                float((codes[r] - codes[q]).square().sum())
                for r, q in itertools.combinations(range(80), 2)
                if set(tags[r]) & set(tags[q])
            ]
            ratios.append(float(np.mean(alike)))
        assert ratios[1] < 0.5 * ratios[0]

    def test_learns_what_the_caption_says(self, corpus: Corpus) -> None:
        torch.manual_seed(3)
        model = build("rsdae", {}, Sizes.of(corpus.training))
        assert isinstance(model, Rsdae)
        model.fit(corpus.training)
        losses = taught(model, corpus, 150)
        own, popular = beats_popularity(model, corpus)
        assert losses[-1] < losses[0]
        assert own > popular + 0.2


def test_refuses_captions_without_words() -> None:
    with pytest.raises(MissingFeatureError, match="no word"):
        build("rsdae", {}, Sizes(3, 4, {}))
