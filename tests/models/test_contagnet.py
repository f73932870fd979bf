"""ConTagNet against its equations and a multi-label loss, one post and hashtag at a time."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import torch

from reeltag.data.batches import NO_TIME, PostBatch
from reeltag.data.corpus import Corpus
from reeltag.models.contract import Model, Sizes, TrainingBatch
from reeltag.models.registry import build
from tests.models.contract import TrainedContract


def reference(model: Model, posts: PostBatch) -> np.ndarray:
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    inputs = model.input(posts).double().numpy()

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    rows = []
    for row, user in enumerate(posts.users.tolist()):
        u = w["user.weight"][user] if user >= 0 else w["user.weight"].mean(0)
        hour, day = 24, 7
        if int(posts.times[row]) != NO_TIME:
            when = dt.datetime.fromtimestamp(int(posts.times[row]), dt.UTC)
            hour, day = when.hour, when.weekday()
        context = np.concatenate([u, w["hour"][hour], w["weekday"][day]])
        a = np.maximum(layer("content", inputs[row]), 0)
        c = np.maximum(layer("context", context), 0)
        z = np.maximum(layer("joint", np.concatenate([a, c])), 0)
        rows.append(layer("out", z))
    return np.array(rows)


class TestConTagNet(TrainedContract):
    name = "contagnet"
    settings = {"dim": 6, "user_dim": 3, "time_dim": 2}  # noqa: RUF012

    def test_scores_are_the_equations(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        posts = self.posts(corpus, 5)
        posts.users[3] = -1
        times = posts.times.clone()
        times[4] = NO_TIME
        posts = replace(posts, times=times)
        scores = model.scored(posts).numpy()
        np.testing.assert_allclose(scores, reference(model, posts), rtol=1e-4, atol=1e-5)

    def test_loss_is_binary_cross_entropy_over_posts(self, corpus: Corpus) -> None:
        """Each post of a batch weighs 1/n, so a whole epoch is the mean over posts."""
        settings = {**self.settings, "dropout": 0.0}
        torch.manual_seed(5)
        model = build(self.name, settings, Sizes.of(corpus.training))
        model.fit(corpus.training)
        owner, hashtags = corpus.training.triples
        count = int((owner < 12).sum())
        first = TrainingBatch(
            corpus.training.batch(owner[:count]), hashtags[:count], torch.zeros(count, 1).long()
        )
        logits = reference(model, corpus.training.batch(torch.arange(12)))
        tags = corpus.training.posts.hashtags
        total = 0.0
        for post in range(12):
            carried = tags.values[tags.offsets[post] : tags.offsets[post + 1]].tolist()
            for j in range(len(corpus.hashtags)):
                chance = 1 / (1 + math.exp(-logits[post, j]))
                total -= math.log(chance if j in carried else 1 - chance)
        np.testing.assert_allclose(float(model.loss(first).detach()), total / 12, rtol=1e-4)

    def test_hour_and_weekday_matter(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        posts = self.posts(corpus)
        later = replace(posts, times=posts.times + 7 * 3600)
        assert not torch.equal(model.scored(later), model.scored(posts))
