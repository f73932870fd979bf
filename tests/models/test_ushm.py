"""USHM against its equation and the softmax over drawn hashtags, one factor at a time."""

from __future__ import annotations

import math

import numpy as np
import torch

from reeltag.data.corpus import Corpus
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.registry import build
from tests.models.contract import TrainedContract


class TestUshm(TrainedContract):
    name = "ushm"
    settings = {"rank": 5}  # noqa: RUF012

    def test_scores_are_the_three_way_product(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        w = {k: v.double().numpy() for k, v in model.state_dict().items()}
        posts = self.posts(corpus, 4)
        posts.users[3] = -1
        v = model.input(posts).double().numpy()
        scores = model.scored(posts).numpy()
        for row, user in enumerate(posts.users.tolist()):
            U = w["user.weight"][user] if user >= 0 else w["user.weight"].mean(0)
            for j in range(len(corpus.hashtags)):
                expected = 0.0
                for r in range(5):
                    post = w["post_in.weight"][r] @ v[row] + w["post_in.bias"][r]
                    expected += post * U[r] * w["hashtag"][j, r]
                assert math.isclose(scores[row, j], expected, rel_tol=1e-4, abs_tol=1e-5)

    def test_loss_is_a_softmax_among_the_drawn(self, corpus: Corpus) -> None:
        torch.manual_seed(4)
        model = build(self.name, self.settings, Sizes.of(corpus.training))
        model.fit(corpus.training)
        posts, hashtags = corpus.training.triples
        negatives = torch.randint(len(corpus.hashtags), (20, 3))
        batch = TrainingBatch(corpus.training.batch(posts[:20]), hashtags[:20], negatives)
        scores = model.scored(batch.posts).double().numpy()
        total = 0.0
        for row in range(20):
            own = math.exp(scores[row, hashtags[row]])
            rest = sum(math.exp(scores[row, j]) for j in negatives[row].tolist())
            total -= math.log(own / (own + rest))
        np.testing.assert_allclose(float(model.loss(batch).detach()), total / 20, rtol=1e-4)
