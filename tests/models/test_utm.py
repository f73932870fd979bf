"""UTM against its equation and WARP, one post, hashtag and trial at a time."""

from __future__ import annotations

import math

import numpy as np
import torch

from reeltag.data.corpus import Corpus
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.registry import build
from tests.models.contract import TrainedContract


class TestUtm(TrainedContract):
    name = "utm"
    settings = {"dim": 5, "user_dim": 3}  # noqa: RUF012

    def test_scores_are_the_equation(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        w = {k: v.double().numpy() for k, v in model.state_dict().items()}
        posts = self.posts(corpus, 4)
        posts.users[3] = -1
        v = model.input(posts).double().numpy()
        scores = model.scored(posts).numpy()
        for row, user in enumerate(posts.users.tolist()):
            u = w["user.weight"][user] if user >= 0 else w["user.weight"].mean(0)
            gate = w["user_in.weight"] @ u + w["user_in.bias"]
            post = w["post_in.weight"] @ v[row] + w["post_in.bias"]
            for j in range(len(corpus.hashtags)):
                expected = sum(post[d] * gate[d] * w["hashtag"][j, d] for d in range(5))
                assert math.isclose(scores[row, j], expected, rel_tol=1e-4, abs_tol=1e-5)

    def test_loss_tries_negatives_in_turn(self, corpus: Corpus) -> None:
        torch.manual_seed(4)
        model = build(self.name, {**self.settings, "margin": 0.3}, Sizes.of(corpus.training))
        model.fit(corpus.training)
        posts, hashtags = corpus.training.triples
        negatives = torch.randint(len(corpus.hashtags), (20, 3))
        batch = TrainingBatch(corpus.training.batch(posts[:20]), hashtags[:20], negatives)
        scores = model.scored(batch.posts).numpy()
        H, total = len(corpus.hashtags), 0.0
        for row in range(20):
            own = scores[row, hashtags[row]]
            for trial, j in enumerate(negatives[row].tolist(), start=1):
                if scores[row, j] + 0.3 > own:
                    rank = math.floor((H - 1) / trial)
                    weight = sum(1 / r for r in range(1, rank + 1))
                    total += weight * (0.3 - own + scores[row, j])
                    break
        np.testing.assert_allclose(float(model.loss(batch).detach()), total / 20, rtol=1e-4)
