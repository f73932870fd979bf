"""A model and a part of a split in, the report of the contract out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from reeltag.data.corpus import Corpus, Posts
from reeltag.evaluation.protocols import Judged, Protocol, judge
from reeltag.evaluation.ranking import DEFAULT_BUDGET
from reeltag.evaluation.slices import (
    caption_groups,
    history_groups,
    new_to_user,
    of_hashtags,
    of_posts,
    popularity_buckets,
)
from reeltag.models.contract import Model
from reeltag.models.observing import Observing
from reeltag.runtime import peak_rss_mb


@dataclass(frozen=True)
class Report:
    """What `reeltag evaluate --json` prints. Every metric is a mean over judged posts.

    `new_to_user` and what begins with `by_` are parts of these (`reeltag.evaluation.slices`).
    """

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
    by_history: dict[str, dict[str, float]]
    by_caption: dict[str, dict[str, float]]
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
    posts: Posts | None = None,
) -> Report:
    """Judge `model` on the posts of one part, or on those `posts` of it alone."""
    posts = corpus.part(on) if posts is None else posts
    start = time.perf_counter()
    judged = judge(model, corpus, posts, protocol, tops, seed, budget)
    seconds = time.perf_counter() - start
    H = len(corpus.hashtags)
    # Counted anew: those of a run that was fitted again are of more posts.
    uses = np.bincount(corpus.training.triples[1].numpy(), minlength=H)
    fresh = of_hashtags(judged, new_to_user(corpus, posts, judged, on), tops, H)
    buckets = {
        name: of_hashtags(judged, chosen[judged.positives.values], tops, H)
        for name, chosen in popularity_buckets(uses).items()
    }
    histories, captions = (
        {
            name: of_posts(judged, chosen[judged.posts], tops).means()
            for name, chosen in kind.items()
        }
        for kind in (history_groups(corpus, posts), caption_groups(corpus, posts))
    )
    return Report(
        model=model.name,
        dataset=corpus.dataset.path.name,
        split=corpus.split.name,
        on=on,
        protocol=protocol,
        posts=len(judged.posts),
        skipped=judged.skipped,
        hashtags=H,
        metrics={name: float(value.mean()) for name, value in judged.values.items()},
        new_to_user=fresh.means(),
        by_popularity={name: found.means() for name, found in buckets.items()},
        by_history=histories,
        by_caption=captions,
        seconds=seconds,
        posts_per_second=len(judged.posts) / seconds,
        peak_rss_mb=peak_rss_mb(),
        judged=judged,
        bucket_values={name: found.values for name, found in buckets.items()},
        observes=isinstance(model, Observing),
    )
