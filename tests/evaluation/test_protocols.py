"""Protocols against their definitions, one post at a time, for a model with ties."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus, TrainingSet
from reeltag.data.negatives import NegativeSampler
from reeltag.errors import ConfigError, DatasetError
from reeltag.evaluation.evaluate import evaluate
from reeltag.evaluation.protocols import SAMPLED_BLOCK, judge, parse_protocol
from reeltag.models.contract import Encoded, Model, ModelConfig, Sizes
from reeltag.models.registry import build
from reeltag.runtime import generator_of


class Tied(Model):
    """Scores that are equal for many hashtags; depends on the user so that rows differ."""

    name = "tied"

    def fit(self, training: TrainingSet) -> None:
        pass

    def encode(self, posts: PostBatch) -> Encoded:
        return {"users": posts.users}

    def score_all(self, encoded: Encoded) -> Tensor:
        columns = torch.arange(self.sizes.hashtags)
        return ((columns + encoded["users"].unsqueeze(1)) % 3).float()


@pytest.fixture
def tied(corpus: Corpus) -> Tied:
    return Tied(ModelConfig(), Sizes.of(corpus.training))


def naive(
    scores: Sequence[float], candidates: Sequence[int], positives: set[int], k: int
) -> dict[str, float]:
    order = sorted(candidates, key=lambda j: (-scores[j], j))
    hits = [j in positives for j in order[:k]]
    first = next(n for n, j in enumerate(order, 1) if j in positives)
    ideal = sum(1 / np.log2(r + 1) for r in range(1, min(len(positives), k) + 1))
    return {
        f"recall@{k}": sum(hits) / len(positives),
        f"precision@{k}": sum(hits) / k,
        f"ndcg@{k}": sum(1 / np.log2(n + 1) for n, hit in enumerate(hits, 1) if hit) / ideal,
        "mrr": 1 / first,
    }


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def positives_of(corpus: Corpus) -> list[set[int]]:
    posts = corpus.part("test").hashtags
    bounds = posts.offsets.tolist()
    return [set(posts.values[a:b].tolist()) for a, b in pairwise(bounds)]


def scores_of(corpus: Corpus, model: Model) -> list[list[float]]:
    posts = corpus.part("test")
    scores: list[list[float]] = model.scored(corpus.batch(posts, torch.arange(len(posts)))).tolist()
    return scores


@pytest.mark.parametrize("budget", [1, 1 << 30])
def test_full_ranking(corpus: Corpus, tied: Tied, budget: int) -> None:
    report = evaluate(tied, corpus, budget=budget)
    everything = range(len(corpus.hashtags))
    expected = means(
        [
            naive(scores, everything, positives, 10)
            for scores, positives in zip(scores_of(corpus, tied), positives_of(corpus), strict=True)
            if positives
        ]
    )
    for name, value in expected.items():
        assert report.metrics[name] == pytest.approx(value), name


def test_sampled_ranks_the_positives_among_drawn_ones(corpus: Corpus, tied: Tied) -> None:
    posts = corpus.part("test")
    judged = judge(tied, corpus, posts, "sampled", (10,), seed=3)
    # The vocabulary is smaller than 1,000, so every negative is drawn: sampled is full.
    full = judge(tied, corpus, posts, "full", (10,))
    for name, value in full.values.items():
        torch.testing.assert_close(judged.values[name], value)


def test_leave_one_out_judges_each_interaction(
    corpus: Corpus, tied: Tied, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_count = 5
    monkeypatch.setitem(
        __import__("reeltag.evaluation.protocols", fromlist=["x"]).SAMPLED_NEGATIVES,
        "leave-one-out",
        drawn_count,
    )
    posts = corpus.part("test")
    report = evaluate(tied, corpus, protocol="leave-one-out", seed=1)
    uses = posts.hashtags
    assert report.posts == len(uses.values)
    sampler = NegativeSampler(uses, len(corpus.hashtags))
    owner = uses.row_of_value
    drawn = torch.cat(
        [
            sampler.draw_distinct(
                block, drawn_count, generator_of(1, "leave-one-out", n * SAMPLED_BLOCK)
            )
            for n, block in enumerate(owner.split(SAMPLED_BLOCK))
        ]
    )
    scores, positives = scores_of(corpus, tied), positives_of(corpus)
    expected = []
    for post, tag, negatives in zip(
        owner.tolist(), uses.values.tolist(), drawn.tolist(), strict=True
    ):
        assert not positives[post] & set(negatives)
        expected.append(naive(scores[post], [tag, *negatives], {tag}, 10))
    for name, value in means(expected).items():
        assert report.metrics[name] == pytest.approx(value), name


def test_every_model_is_given_the_same_drawn_hashtags(corpus: Corpus) -> None:
    """A block's size depends on the model's memory; what is drawn must not."""
    ranked = []
    for name in ("popularity", "content-knn"):
        model = build(name, {}, Sizes.of(corpus.training))
        model.fit(corpus.training)
        judged = judge(model, corpus, corpus.part("test"), "leave-one-out", (200,), budget=1)
        ranked.append(judged.ranked.sort(1).values)
    assert torch.equal(*ranked)


def test_posts_without_a_known_hashtag_are_skipped(corpus: Corpus, tied: Tied) -> None:
    rare = type(corpus.hashtags)(["sea"], [1])
    narrow = Corpus(corpus.dataset, corpus.split, None, rare, corpus.users)
    report = evaluate(Tied(ModelConfig(), Sizes.of(narrow.training)), narrow)
    assert report.posts + report.skipped == len(corpus.part("test"))
    assert report.skipped > 0
    none = type(corpus.hashtags)(["nobody-uses-this"], [1])
    with pytest.raises(DatasetError, match="nothing can be judged"):
        evaluate(tied, Corpus(corpus.dataset, corpus.split, None, none, corpus.users))


def test_unknown_protocol() -> None:
    with pytest.raises(ConfigError, match="full, sampled, leave-one-out, replay"):
        parse_protocol("half")
