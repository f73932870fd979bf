"""EASE and kernel ridge against the problems they solve, solved in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus
from reeltag.models import ridge
from reeltag.models.contract import Sizes
from reeltag.models.ease import Ease
from reeltag.models.registry import build
from reeltag.models.ridge import Ridge
from reeltag.runtime import generator_of
from tests.models.captioned import captioned, rows_of
from tests.models.observing import LATE, ObservingContract, observe
from tests.models.test_text_models import content, cosines


def uses_of(corpus: Corpus) -> np.ndarray:
    """Uses of each hashtag by each user, counted one by one."""
    table = np.zeros((len(corpus.users), len(corpus.hashtags)))
    posts = corpus.training.posts
    for user, tags in zip(posts.users.tolist(), rows_of(posts.hashtags), strict=True):
        for tag in tags:
            table[user, tag] += 1
    return table


class TestEase(ObservingContract):
    name = "ease"
    uses_features = False

    def test_weights_solve_the_regression_without_the_hashtag_itself(self, corpus: Corpus) -> None:
        settings = {"regularisation": 4.0, "power": 1.0}
        model = build("ease", settings, Sizes.of(corpus.training))
        assert isinstance(model, Ease)
        model.fit(corpus.training)
        X = uses_of(corpus)
        H = X.shape[1]
        for j in range(H):
            others = [k for k in range(H) if k != j]
            A = X[:, others]
            solved = np.linalg.solve(A.T @ A + 4.0 * np.eye(H - 1), A.T @ X[:, j])
            np.testing.assert_allclose(model.between[others, j], solved, rtol=1e-3, atol=1e-5)
            assert model.between[j, j] == 0

    def test_scores_are_what_the_users_hashtags_suggest(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, Ease)
        X, between = np.sqrt(uses_of(corpus)), model.between.double().numpy()
        posts = self.posts(corpus)
        expected = X[posts.users.numpy()] @ between + model.backoff.numpy()
        np.testing.assert_allclose(model.scored(posts).numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_a_training_post_does_not_speak_for_itself(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, Ease)
        inside = corpus.training.batch(torch.arange(3))
        X = uses_of(corpus)[inside.users.numpy()]
        for row, tags in enumerate(rows_of(corpus.training.posts.hashtags)[:3]):
            X[row, tags] -= 1
        expected = np.sqrt(X) @ model.between.double().numpy() + model.backoff.numpy()
        np.testing.assert_allclose(model.scored(inside).numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_rare_hashtags_stay_out_of_a_small_table(self, corpus: Corpus) -> None:
        model = build("ease", {"most": 5}, Sizes.of(corpus.training))
        assert isinstance(model, Ease)
        model.fit(corpus.training)
        assert model.between.shape == (5, 5)
        scores = model.scored(self.posts(corpus))
        torch.testing.assert_close(scores[:, 5:], model.backoff[5:].expand(12, -1))


class TestRidge(ObservingContract):
    name = "ridge"
    words = "count"

    @pytest.fixture
    def corpus(self, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
        return captioned(tmp_path_factory.mktemp("text") / "data", posts=150)

    settings = {"words": 0.2, "pieces": 0.3, "content": 0.5, "regularisation": 0.8}  # noqa: RUF012

    def kernel(self, corpus: Corpus, posts: PostBatch) -> np.ndarray:
        c = build("ridge", self.settings, Sizes.of(corpus.training)).config
        likeness = (
            0.2 * cosines(corpus, posts, "words")
            + 0.3 * cosines(corpus, posts, "pieces")
            + 0.5 * content(corpus, posts)
        )
        same = posts.users.numpy()[:, None] == corpus.training.posts.users.numpy()
        return 1 + c.like * likeness + same * (c.user + c.both * likeness)

    def test_scores_are_kernel_ridge_regression(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        everything = corpus.training.batch(torch.arange(len(corpus.training.posts)))
        K = self.kernel(corpus, everything)
        Y = corpus.training.posts.hashtags.dense(len(corpus.hashtags)).double().numpy()
        posts = self.posts(corpus)
        expected = self.kernel(corpus, posts) @ np.linalg.solve(K + 0.8 * np.eye(len(K)), Y)
        np.testing.assert_allclose(model.scored(posts).numpy(), expected, rtol=1e-3, atol=1e-4)

    def test_a_training_post_is_left_out_exactly(self, corpus: Corpus) -> None:
        """As if the model were fitted again without the post, with the same idf."""
        model = self.fitted(corpus)
        n = len(corpus.training.posts)
        K = self.kernel(corpus, corpus.training.batch(torch.arange(n)))
        Y = corpus.training.posts.hashtags.dense(len(corpus.hashtags)).double().numpy()
        scores = model.scored(corpus.training.batch(torch.arange(4))).numpy()
        for i in range(4):
            others = [k for k in range(n) if k != i]
            alone = np.linalg.solve(K[np.ix_(others, others)] + 0.8 * np.eye(n - 1), Y[others])
            np.testing.assert_allclose(scores[i], K[i, others] @ alone, rtol=1e-3, atol=1e-4)

    def test_landmarks_are_the_subset_of_regressors(self, corpus: Corpus) -> None:
        settings = {**self.settings, "landmarks": 20, "exact": 0}
        model = build("ridge", settings, Sizes.of(corpus.training))
        assert isinstance(model, Ridge)
        model.fit(corpus.training)
        everything = corpus.training.batch(torch.arange(len(corpus.training.posts)))
        K = (
            model.kernel(everything, model.likeness(model.resemblance(everything, model.landmarks)))
            .double()
            .numpy()
        )
        Y = corpus.training.posts.hashtags.dense(len(corpus.hashtags)).double().numpy()
        assert K.shape[1] == 20
        # β minimises |Y - K_nM β|² + λ βᵀ K_MM β: its gradient is 0.
        beta = model.weights.double().numpy()
        small = K[self._landmarks(model, corpus).numpy()]
        gradient = K.T @ (K @ beta - Y) + 0.8 * small @ beta
        assert np.abs(gradient).max() < 1e-3 * np.abs(K.T @ Y).max()

    def test_with_landmarks_a_training_post_is_left_out_exactly(self, corpus: Corpus) -> None:
        settings = {**self.settings, "landmarks": 20, "exact": 0}
        model = build("ridge", settings, Sizes.of(corpus.training))
        assert isinstance(model, Ridge)
        model.fit(corpus.training)
        n = len(corpus.training.posts)
        everything = corpus.training.batch(torch.arange(n))
        K = (
            model.kernel(everything, model.likeness(model.resemblance(everything, model.landmarks)))
            .double()
            .numpy()
        )
        small = K[self._landmarks(model, corpus).numpy()]
        Y = corpus.training.posts.hashtags.dense(len(corpus.hashtags)).double().numpy()
        scores = model.scored(corpus.training.batch(torch.arange(4))).numpy()
        for i in range(4):
            k, y = np.delete(K, i, 0), np.delete(Y, i, 0)
            alone = K[i] @ np.linalg.solve(k.T @ k + 0.8 * small, k.T @ y)
            np.testing.assert_allclose(scores[i], alone, rtol=1e-3, atol=2e-4)

    def test_many_hashtags_are_answered_along_few_directions(self, corpus: Corpus) -> None:
        """The directions are those of the fitted answers' largest singular values."""
        for settings in (self.settings, {**self.settings, "landmarks": 20, "exact": 0}):
            whole = build("ridge", settings, Sizes.of(corpus.training))
            few = build("ridge", {**settings, "rank": 4}, Sizes.of(corpus.training))
            assert isinstance(whole, Ridge)
            assert isinstance(few, Ridge)
            whole.fit(corpus.training)
            few.fit(corpus.training)
            posts = corpus.training.batch(torch.arange(len(corpus.training.posts)))
            posts = replace(posts, own=torch.full_like(posts.own, -1))
            fitted = whole.scored(posts).double().numpy()
            *_, V = np.linalg.svd(fitted)
            closest = fitted @ V[:4].T @ V[:4]
            error = np.linalg.norm(few.scored(posts).numpy() - fitted)
            assert error < 1.05 * np.linalg.norm(closest - fitted) + 1e-3

    def wanted(self, model: Ridge, corpus: Corpus, posts: PostBatch) -> torch.Tensor:
        """Scores (B, H) of the exact solution for all training posts, by the model's kernel."""
        everything = corpus.training.batch(torch.arange(len(corpus.training.posts)))
        K, asked = (
            model.kernel(batch, model._likeness(model.resemblance(batch))).double()
            for batch in (everything, posts)
        )
        Y = corpus.training.posts.hashtags.dense(len(corpus.hashtags)).double()
        return asked @ torch.linalg.solve(K + 0.8 * torch.eye(len(K)), Y)

    def test_observing_is_fitting_with_the_posts_too(
        self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With every landmark an anchor; and a post asked about is left out exactly."""
        monkeypatch.setattr(ridge, "_SOFT", 1e-6)
        monkeypatch.setattr(self, "settings", {**self.settings, "anchors": 10**6})
        model = self.observed(corpus)
        assert isinstance(model, Ridge)
        posts = self.posts(corpus)
        expected = self.wanted(model, corpus, posts)
        np.testing.assert_allclose(model.scored(posts).numpy(), expected, rtol=1e-2, atol=2e-3)
        _, late = self.halves(corpus)
        outside = corpus.batch(corpus.training.posts, late[-1:])
        inside = corpus.training.batch(late[-1:])
        before = self.begun(corpus)
        observe(before, corpus.training, late[:-1])
        torch.testing.assert_close(
            model.scored(inside), before.scored(outside), rtol=1e-2, atol=2e-3
        )

    @pytest.mark.parametrize(("most", "share"), [(1024, 0.5), (0, 0.8)])
    def test_with_few_anchors_observing_comes_nearer_to_fitting(
        self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, most: int, share: float
    ) -> None:
        monkeypatch.setattr(ridge, "_MOST_ANCHORS", most)
        monkeypatch.setattr(self, "settings", {**self.settings, "anchors": 40})
        begun, observed = self.begun(corpus), self.observed(corpus)
        assert isinstance(observed, Ridge)
        assert len(observed.anchors) == 40 + LATE * (most > 0)
        posts = corpus.batch(corpus.part("test"), torch.arange(15))
        wanted = self.wanted(observed, corpus, posts)
        far, near = (float((m.scored(posts) - wanted).norm()) for m in (begun, observed))
        assert near < share * far

    @pytest.mark.parametrize("more", [{"rank": 4}, {"landmarks": 40, "exact": 0}])
    def test_few_directions_and_landmarks_observe_too(
        self, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]
    ) -> None:
        """Each observed post is answered better than before it was."""
        monkeypatch.setattr(self, "settings", {**self.settings, **more})
        model, late = self.begun(corpus), self.halves(corpus)[1]
        assert isinstance(model, Ridge)
        for index in late.split(1):
            asked = corpus.batch(corpus.training.posts, index)
            y = corpus.training.posts.hashtags.select(index)
            right = y.dense(len(corpus.hashtags)).float() @ model.directions.T @ model.directions
            before = (right - model.scored(asked)).norm()
            model.observe(asked, y)
            assert (right - model.scored(asked)).norm() < before
        assert torch.equal(model.landmarks[-LATE:], late)

    @staticmethod
    def _landmarks(model: Ridge, corpus: Corpus) -> torch.Tensor:
        drawn = torch.randperm(len(corpus.training.posts), generator=generator_of("ridge"))
        return drawn[: len(model.weights)].sort().values

    def test_works_without_users_features_and_words(self, corpus: Corpus) -> None:
        posts = corpus.training.posts
        nobody = replace(posts, users=torch.full_like(posts.users, -1))
        model = build("ridge", {}, Sizes(0, len(corpus.hashtags), {}))
        model.fit(replace(corpus.training, posts=nobody))
        assert torch.isfinite(model.scored(self.posts(corpus))).all()
