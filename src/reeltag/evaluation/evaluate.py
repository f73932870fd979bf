"""A model and a part of a split in, the report of the contract out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reeltag.data.corpus import Corpus, Posts
from reeltag.data.ragged import Ragged
from reeltag.evaluation.metrics import hits_of, ranking_metrics
from reeltag.evaluation.protocols import Judged, Protocol, judge
from reeltag.evaluation.ranking import DEFAULT_BUDGET
from reeltag.models.contract import Model
from reeltag.models.observing import Observing
from reeltag.runtime import peak_rss_mb

POPULAR, UNPOPULAR = 27, 10
"""LOGO §4: popular hashtags have more than 27 training uses, unpopular ones fewer than 10."""


@dataclass(frozen=True)
class Report:
    """What `reeltag evaluate --json` prints. Every metric is a mean over judged posts."""

    model: str
    dataset: str
    split: str
    on: str
    protocol: str
    posts: int
    skipped: int
    hashtags: int
    metrics: dict[str, float]
    new_to_user: dict[str, float]
    by_popularity: dict[str, dict[str, float]]
    seconds: float
    posts_per_second: float
    peak_rss_mb: float
    judged: Judged = field(repr=False)
    bucket_values: dict[str, dict[str, Tensor]] = field(repr=False)
    """By popularity: metric to its value for each post that has such hashtags."""
    observes: bool = False
    """Whether the model can observe: in `replay` one that cannot is judged as in `full`."""

    def as_json(self) -> dict[str, Any]:
        """The contract's object: everything but the values of single posts."""
        values = asdict(self)
        del values["judged"], values["bucket_values"]
        if self.protocol != "replay":
            del values["observes"]
        return values


def evaluate(
    model: Model,
    corpus: Corpus,
    on: str = "test",
    protocol: Protocol = "full",
    tops: Sequence[int] = (5, 10),
    seed: int = 0,
    budget: int = DEFAULT_BUDGET,
) -> Report:
    """Judge `model` on the posts of one part."""
    posts = corpus.part(on)
    start = time.perf_counter()
    judged = judge(model, corpus, posts, protocol, tops, seed, budget)
    seconds = time.perf_counter() - start
    fresh = _subset(judged, new_to_user(corpus, posts, judged), tops, corpus)
    buckets = {
        name: _subset(judged, chosen[judged.positives.values], tops, corpus)
        for name, chosen in popularity_buckets(corpus.hashtags.counts).items()
    }
    return Report(
        model=model.name,
        dataset=corpus.dataset.path.name,
        split=corpus.split.name,
        on=on,
        protocol=protocol,
        posts=len(judged.posts),
        skipped=judged.skipped,
        hashtags=len(corpus.hashtags),
        metrics={name: float(value.mean()) for name, value in judged.values.items()},
        new_to_user=_means(*fresh),
        by_popularity={name: _means(*found) for name, found in buckets.items()},
        seconds=seconds,
        posts_per_second=len(judged.posts) / seconds,
        peak_rss_mb=peak_rss_mb(),
        judged=judged,
        bucket_values={name: values for name, (values, _) in buckets.items()},
        observes=isinstance(model, Observing),
    )


def new_to_user(corpus: Corpus, posts: Posts, judged: Judged) -> Tensor:
    """Which judged positives (m,) the post's user never used in training.

    A post of nobody, or of a user unknown to training, has only new ones.
    """
    H = len(corpus.hashtags)
    training = corpus.training
    owner, tags = training.triples
    used = torch.unique(training.posts.users[owner] * H + tags)
    users = posts.users[judged.posts][judged.positives.row_of_value]
    return (users < 0) | ~torch.isin(users * H + judged.positives.values, used)


def popularity_buckets(counts: NDArray[np.int64]) -> dict[str, Tensor]:
    """Hashtags (H,) by training uses: popular (> 27), relative (10-27), unpopular (< 10)."""
    uses = torch.from_numpy(counts)
    popular, unpopular = uses > POPULAR, uses < UNPOPULAR
    return {"popular": popular, "relative": ~popular & ~unpopular, "unpopular": unpopular}


def _subset(
    judged: Judged, chosen: Tensor, tops: Sequence[int], corpus: Corpus
) -> tuple[dict[str, Tensor], int]:
    """Recall and NDCG over some of the positives (m,), in the ranking of all hashtags.

    Returns each metric's value for every post that has one of them, and how many there are.
    """
    rows = judged.positives.row_of_value[chosen]
    some = Ragged.from_pairs(rows, judged.positives.values[chosen], len(judged.positives))
    hits = hits_of(judged.ranked, some, len(corpus.hashtags))
    there = some.lengths > 0
    values = ranking_metrics(hits[there], some.lengths[there], tops)
    kept = {name: values[name] for k in sorted(tops) for name in (f"recall@{k}", f"ndcg@{k}")}
    return kept, int(chosen.sum())


def _means(values: dict[str, Tensor], uses: int) -> dict[str, float]:
    """Means over posts, 0 where there is none; how many posts and uses they are of."""
    posts = len(next(iter(values.values())))
    means = {name: float(value.mean()) if posts else 0.0 for name, value in values.items()}
    return {**means, "posts": posts, "uses": uses}
