"""Text kNN, own kNN and tag names against their definitions, one post at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes
from reeltag.models.registry import build
from reeltag.words import pieces, whole
from reeltag.words import words as words_in
from tests.models.captioned import captioned, idf_vectors, rows_of
from tests.models.observing import ObservingContract


def cosines(corpus: Corpus, posts: PostBatch, terms: str) -> np.ndarray:
    train = rows_of(getattr(corpus.training.posts, terms))
    found = idf_vectors(train, rows_of(getattr(posts, terms)))
    return found @ idf_vectors(train, train).T


def content(corpus: Corpus, posts: PostBatch) -> np.ndarray:
    """Cosines of the standardised only feature."""
    everything = corpus.training.batch(torch.arange(len(corpus.training.posts)))
    (name,) = posts.vectors
    there = everything.present[name].numpy()
    values = everything.vectors[name].double().numpy()
    mean, scale = values[there].mean(0), values[there].std(0)

    def unit(batch: PostBatch) -> np.ndarray:
        table = (batch.vectors[name].double().numpy() - mean) / scale
        table /= np.linalg.norm(table, axis=1, keepdims=True)
        return table * batch.present[name].numpy()[:, None]

    return unit(posts) @ unit(everything).T


def voted(corpus: Corpus, weights: np.ndarray) -> np.ndarray:
    """Σ of the weights of the training posts that carry each hashtag, and the back-off."""
    tags = rows_of(corpus.training.posts.hashtags)
    uses = np.array([sum(j in row for row in tags) for j in range(len(corpus.hashtags))])
    scores = np.tile(1e-6 * uses / (1 + uses.max()), (len(weights), 1))
    for row in range(len(weights)):
        for post, carried in enumerate(tags):
            for j in carried:
                scores[row, j] += weights[row, post]
    return scores


def both(corpus: Corpus) -> list[PostBatch]:
    """Posts from outside, and training posts."""
    posts = corpus.part("test")
    return [corpus.batch(posts, torch.arange(4)), corpus.training.batch(torch.arange(4))]


class TestTextKnn(ObservingContract):
    name = "text-knn"
    uses_features = False
    uses_users = False
    words = "count"

    @pytest.fixture
    def corpus(self, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
        return captioned(tmp_path_factory.mktemp("text") / "data", posts=150)

    def test_scores_are_votes_of_the_most_similar_captions(self, corpus: Corpus) -> None:
        settings = {"neighbours": 10_000, "power": 1.5, "words": 0.3}
        model = build("text-knn", settings, Sizes.of(corpus.training))
        model.fit(corpus.training)
        for posts in both(corpus):
            likeness = 0.3 * cosines(corpus, posts, "words") + 0.7 * cosines(
                corpus, posts, "pieces"
            )
            for row, own in enumerate(posts.own.tolist()):
                if own >= 0:
                    likeness[row, own] = 0
            expected = voted(corpus, likeness**1.5)
            np.testing.assert_allclose(model.scored(posts).numpy(), expected, rtol=1e-4, atol=1e-7)

    def test_only_the_nearest_vote(self, corpus: Corpus) -> None:
        model = build("text-knn", {"neighbours": 1}, Sizes.of(corpus.training))
        model.fit(corpus.training)
        encoded = model.encode(self.posts(corpus, 5))
        assert encoded["weights"].shape == (5, 1)

    def test_refuses_captions_without_words(self) -> None:
        with pytest.raises(MissingFeatureError, match="no word"):
            build("text-knn", {}, Sizes(3, 4, {}))


class TestOwnKnn(ObservingContract):
    name = "own-knn"
    words = "count"

    @pytest.fixture
    def corpus(self, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
        return captioned(tmp_path_factory.mktemp("text") / "data", posts=150)

    def test_scores_are_votes_of_the_users_own_posts(self, corpus: Corpus) -> None:
        settings = {"floor": 0.1, "power": 2.0, "words": 0.2, "pieces": 0.3, "content": 0.5}
        model = build("own-knn", settings, Sizes.of(corpus.training))
        model.fit(corpus.training)
        users = corpus.training.posts.users.numpy()
        for posts in both(corpus):
            likeness = (
                0.2 * cosines(corpus, posts, "words")
                + 0.3 * cosines(corpus, posts, "pieces")
                + 0.5 * content(corpus, posts)
            )
            weights = (0.1 + likeness.clip(0) ** 2) * (users == posts.users.numpy()[:, None])
            for row, own in enumerate(posts.own.tolist()):
                if own >= 0:
                    weights[row, own] = 0
            np.testing.assert_allclose(
                model.scored(posts).numpy(), voted(corpus, weights), rtol=1e-3, atol=1e-6
            )

    def test_works_without_features_and_words(self, corpus: Corpus) -> None:
        sizes = Sizes(len(corpus.users), len(corpus.hashtags), {})
        model = build("own-knn", {}, sizes)
        model.fit(corpus.training)
        assert torch.isfinite(model.scored(self.posts(corpus))).all()


class TestTagNames(ObservingContract):
    name = "tag-names"
    uses_features = False
    uses_users = False
    words = "count"

    @pytest.fixture
    def corpus(self, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
        return captioned(tmp_path_factory.mktemp("text") / "data", posts=150)

    def test_scores_are_shares_of_names(self, corpus: Corpus) -> None:
        settings = {"power": 2.0, "exact": 0.7, "words": 0.4}
        model = build("tag-names", settings, Sizes.of(corpus.training))
        model.fit(corpus.training)
        names, vocabulary = corpus.hashtags.names, corpus.words
        uses = corpus.hashtags.counts
        spelt = [set(pieces(name)) for name in names]
        # In this generated world the words a name is made of are known.
        made = [[w for w in vocabulary.names if w in name and len(w) > 3] for name in names]
        count, H = len(corpus.training.posts), len(names)
        posts = corpus.batch(corpus.part("test"), torch.arange(4))
        scores = model.scored(posts).numpy()
        captions = corpus.dataset.posts["caption"].gather(corpus.part("test").rows[:4].numpy())
        for row, caption in enumerate(captions):
            has, said = set(pieces(caption)), set(words_in(caption))
            for j in range(H):
                if names[j].startswith("by"):
                    continue
                idf = {p: np.log((1 + H) / sum(p in other for other in spelt)) ** 2
                       for p in spelt[j]}  # fmt: skip
                share = sum(idf[p] for p in spelt[j] & has) / sum(idf.values())
                rare = {w: np.log((1 + count) / vocabulary.counts[vocabulary.id_of(w)]) ** 2
                        for w in made[j]}  # fmt: skip
                part = sum(rare[w] for w in made[j] if w in said) / sum(rare.values())
                exact = whole(names[j]) in has
                expected = 0.7 * exact + 0.4 * part + share**2 + 1e-6 * uses[j] / (1 + uses.max())
                np.testing.assert_allclose(scores[row, j], expected, rtol=1e-4, atol=1e-6)

    def test_a_caption_that_says_nothing_gets_the_popular_hashtags(self, corpus: Corpus) -> None:
        posts = self.posts(corpus, 2)
        silent = replace(posts, words=Ragged.empty(2), pieces=Ragged.empty(2))
        model = self.fitted(corpus)
        assert model.scored(silent)[0].argmax() == 0

    def test_refuses_captions_without_words(self) -> None:
        with pytest.raises(MissingFeatureError, match="no word"):
            build("tag-names", {}, Sizes(3, 4, {}))
