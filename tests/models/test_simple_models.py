"""The simple rules against their definitions, one post at a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus
from reeltag.data.dataset import Dataset
from reeltag.errors import MissingFeatureError
from reeltag.models.content_knn import ContentKnn
from reeltag.models.contract import Sizes
from reeltag.models.registry import build
from tests.models.contract import naive_counts
from tests.models.observing import ObservingContract


class TestPopularity(ObservingContract):
    name = "popularity"
    uses_features = False
    uses_users = False

    def test_scores_are_training_uses(self, corpus: Corpus) -> None:
        scores = self.fitted(corpus).scored(self.posts(corpus))
        expected = naive_counts(corpus.training.posts.hashtags, len(corpus.hashtags))
        np.testing.assert_array_equal(scores[3].numpy(), expected)


class TestUserHistory(ObservingContract):
    name = "user-history"
    uses_features = False

    def test_scores_are_the_users_own_uses_then_everybodys(self, corpus: Corpus) -> None:
        posts = self.posts(corpus)
        scores = self.fitted(corpus).scored(posts).numpy()
        training = corpus.training.posts
        uses = naive_counts(training.hashtags, len(corpus.hashtags))
        for row, user in enumerate(posts.users.tolist()):
            own: Counter[int] = Counter()
            for post in (training.users == user).nonzero().squeeze(1).tolist():
                start, end = training.hashtags.offsets[post : post + 2].tolist()
                own.update(training.hashtags.values[start:end].tolist())
            expected = [own[j] + uses[j] / (1 + uses.max()) for j in range(len(uses))]
            np.testing.assert_allclose(scores[row], expected, rtol=1e-5)

    def test_a_training_post_does_not_count_itself(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        inside = corpus.training.batch(torch.arange(5))
        outside = corpus.batch(corpus.training.posts, torch.arange(5))
        difference = model.scored(outside) - model.scored(inside)
        expected = corpus.training.posts.hashtags.select(torch.arange(5)).dense(
            len(corpus.hashtags)
        )
        torch.testing.assert_close(difference, expected.float(), rtol=0, atol=1e-5)


class TestContentKnn(ObservingContract):
    name = "content-knn"
    uses_users = False
    settings = {"neighbours": 5}  # noqa: RUF012

    def test_scores_are_the_cosines_of_carriers(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, ContentKnn)
        posts = self.posts(corpus)
        scores = model.scored(posts).numpy()
        vectors = model.resemblance.vectors.numpy() / 2048
        query = model.resemblance._unit(posts).numpy() / 2048
        tags = corpus.training.posts.hashtags
        for row in range(len(posts)):
            cosines = vectors @ query[row]
            expected = model.votes.backoff.numpy().astype(np.float64).copy()
            for near in np.argsort(-cosines)[:5]:
                start, end = tags.offsets[near : near + 2].tolist()
                for tag in tags.values[start:end].tolist():
                    expected[tag] += max(cosines[near], 0)
            np.testing.assert_allclose(scores[row], expected, rtol=1e-4, atol=1e-6)

    def test_the_nearest_is_the_best_single_vote(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, ContentKnn)
        encoded = model.encode(self.posts(corpus))
        tags = corpus.training.posts.hashtags.dense(len(corpus.hashtags)).numpy()
        carried = tags[encoded["positions"].numpy()]
        expected = (encoded["weights"].numpy()[..., None] * carried).max(1)
        np.testing.assert_allclose(model.nearest(encoded).whole().numpy(), expected, rtol=1e-6)

    def test_a_training_post_is_not_its_own_neighbour(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, ContentKnn)
        _, positions = model.neighbours(corpus.training.batch(torch.arange(20)))
        assert not (positions == torch.arange(20).unsqueeze(1)).any()


def test_a_model_that_needs_features_says_which_to_make(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(MissingFeatureError, match="reeltag extract"):
        build("content-knn", {}, Sizes(3, 4, {}))
