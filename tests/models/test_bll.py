"""Recency-decayed history against the base-level learning equation, one use at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from reeltag.data.batches import NO_TIME
from reeltag.data.corpus import Corpus, TrainingSet
from reeltag.models.bll import Bll
from reeltag.models.contract import Sizes
from reeltag.models.registry import build
from tests.models.contract import naive_counts
from tests.models.observing import ObservingContract


def equation(training: TrainingSet, user: int, own: int, clock: int, clocks: list[int], d: float):
    """Scores (H,) of one post at `clock`, `clocks` being those of the training posts."""
    tags = training.posts.hashtags
    sums: dict[int, float] = {}
    for post, who in enumerate(training.posts.users.tolist()):
        if who != user or post == own:
            continue
        for tag in tags.values[tags.offsets[post] : tags.offsets[post + 1]].tolist():
            age = max(1, abs(clock - clocks[post]))
            sums[tag] = sums.get(tag, 0.0) + age ** (-d)
    B = {tag: math.log(value) for tag, value in sums.items()}
    total = sum(math.exp(b) for b in B.values())
    least = min((math.exp(b) / total for b in B.values()), default=1.0)
    uses = naive_counts(tags, len(training.hashtags))
    return [
        math.exp(B[j]) / total if j in B else least * uses[j] / (1 + uses.max())
        for j in range(len(uses))
    ]


class TestBll(ObservingContract):
    name = "bll"
    uses_features = False

    @pytest.mark.parametrize("decay", [0.0, 0.5, 1.5])
    def test_scores_are_the_equation(self, corpus: Corpus, decay: float) -> None:
        training = corpus.training
        model = build("bll", {"decay": decay}, Sizes.of(training))
        model.fit(training)
        clocks = training.posts.times.tolist()
        for posts in (self.posts(corpus, 4), training.batch(torch.arange(4))):
            scores = model.scored(posts).numpy()
            for row in range(4):
                expected = equation(
                    training, int(posts.users[row]), int(posts.own[row]), int(posts.times[row]),
                    clocks, decay,
                )  # fmt: skip
                np.testing.assert_allclose(scores[row], expected, rtol=1e-4)

    def test_a_post_without_time_comes_after_the_newest_use(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        assert isinstance(model, Bll)
        posts = self.posts(corpus)
        unknown = model.scored(replace(posts, times=torch.full_like(posts.times, NO_TIME)))
        newest = model.newest[posts.users] + 1
        torch.testing.assert_close(unknown, model.scored(replace(posts, times=newest)))

    def test_without_times_the_order_of_a_users_posts_is_the_clock(self, corpus: Corpus) -> None:
        some = corpus.training.posts.times.clone()
        some[3] = NO_TIME
        training = replace(corpus.training, posts=replace(corpus.training.posts, times=some))
        model = build("bll", {}, Sizes.of(training))
        model.fit(training)
        seen: dict[int, int] = {}
        clocks = []
        for user in training.posts.users.tolist():
            clocks.append(seen.get(user, 0))
            seen[user] = clocks[-1] + 1
        posts = self.posts(corpus, 3)
        scores = model.scored(posts).numpy()
        for row, user in enumerate(posts.users.tolist()):
            expected = equation(training, user, -1, seen[user], clocks, 0.5)
            np.testing.assert_allclose(scores[row], expected, rtol=1e-4)


def test_without_users_the_popular_hashtags_remain(corpus: Corpus) -> None:
    nobody = replace(corpus.training.posts, users=torch.full_like(corpus.training.posts.users, -1))
    training = replace(corpus.training, posts=nobody)
    model = build("bll", {}, replace(Sizes.of(training), users=0))
    model.fit(training)
    scores = model.scored(training.batch(torch.arange(2)))
    assert torch.equal(scores.argsort(1, descending=True)[0], scores[1].argsort(descending=True))
    assert (scores > 0).all()
