"""Evaluation reports of a model's seeds in, its means, deviations and values a post out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from reeltag.evaluation.evaluate import Report


@dataclass(frozen=True)
class Spread:
    """One number a seed: their mean and standard deviation (n - 1; 0 for a single seed)."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    def as_json(self) -> dict[str, Any]:
        """Mean, deviation and the single values."""
        return {"mean": self.mean, "deviation": self.deviation, "values": list(self.values)}


@dataclass(frozen=True)
class Result:
    """How good a model is under one protocol, over its seeds."""

    protocol: str
    posts: int
    """Posts judged (interactions, in leave-one-out)."""
    skipped: int
    hashtags: int
    metrics: dict[str, Spread]
    new_to_user: dict[str, Spread]
    by_popularity: dict[str, dict[str, Spread]]
    by_history: dict[str, dict[str, Spread]]
    by_caption: dict[str, dict[str, Spread]]
    posts_per_second: Spread
    judged: NDArray[np.int64] = field(repr=False)
    """Positions (n,) of the judged posts in the part."""
    values: dict[str, NDArray[np.float64]] = field(repr=False)
    """Metric to its value for each judged post (n,), mean over seeds."""
    bucket_values: dict[str, dict[str, NDArray[np.float64]]] = field(repr=False)
    """By popularity: the same for the posts that have such hashtags, over these alone."""
    observes: bool = False
    """Whether the model could take in posts as they were judged (protocol replay)."""

    @staticmethod
    def of(reports: Sequence[Report]) -> Result:
        """Join the reports of a model's seeds; all judged the same posts."""
        first = reports[0]
        return Result(
            protocol=first.protocol,
            posts=first.posts,
            skipped=first.skipped,
            hashtags=first.hashtags,
            metrics=spreads(report.metrics for report in reports),
            new_to_user=spreads(report.new_to_user for report in reports),
            by_popularity=_each([report.by_popularity for report in reports]),
            by_history=_each([report.by_history for report in reports]),
            by_caption=_each([report.by_caption for report in reports]),
            posts_per_second=Spread(tuple(report.posts_per_second for report in reports)),
            judged=first.judged.posts.numpy(),
            values=_over_seeds([report.judged.values for report in reports]),
            bucket_values={
                bucket: _over_seeds([report.bucket_values[bucket] for report in reports])
                for bucket in first.bucket_values
            },
            observes=first.observes,
        )

    def bucket(self, name: str) -> Result:
        """The same over hashtags of one popularity alone."""
        values, found = self.bucket_values[name], self.by_popularity[name]
        posts = int(found["posts"].mean)
        metrics = {metric: found[metric] for metric in values}
        return replace(self, posts=posts, metrics=metrics, values=values)

    def as_json(self) -> dict[str, Any]:
        """Everything but the values of single posts."""
        return {
            "protocol": self.protocol,
            "posts": self.posts,
            "skipped": self.skipped,
            "hashtags": self.hashtags,
            "metrics": _json(self.metrics),
            "new_to_user": _json(self.new_to_user),
            "by_popularity": {name: _json(found) for name, found in self.by_popularity.items()},
            "by_history": {name: _json(found) for name, found in self.by_history.items()},
            "by_caption": {name: _json(found) for name, found in self.by_caption.items()},
            "posts_per_second": self.posts_per_second.as_json(),
        }


@dataclass(frozen=True)
class Outcome:
    """A model that was fitted with every seed and judged under every protocol."""

    model: str
    source: str
    """Paper or rule it comes from."""
    seeds: tuple[int, ...]
    """One seed for a model that only counts: nothing in it is random."""
    settings: dict[str, Any]
    training: dict[str, Any]
    """Training settings but the seed; empty for a model that only counts."""
    parameters: int
    stored_bytes: int
    """Of the tensors of one run."""
    epochs: tuple[int, ...]
    fit_seconds: Spread
    validation: dict[str, Spread]
    """Full ranking of the validation part, as training saw it."""
    results: dict[str, Result]
    """By protocol, on the test part."""

    def as_json(self) -> dict[str, Any]:
        """Everything but the values of single posts."""
        return {
            "model": self.model,
            "source": self.source,
            "seeds": list(self.seeds),
            "settings": self.settings,
            "training": self.training,
            "parameters": self.parameters,
            "stored_bytes": self.stored_bytes,
            "epochs": list(self.epochs),
            "fit_seconds": self.fit_seconds.as_json(),
            "validation": _json(self.validation),
            "test": {protocol: result.as_json() for protocol, result in self.results.items()},
        }


def _over_seeds(found: Sequence[Mapping[str, Tensor]]) -> dict[str, NDArray[np.float64]]:
    """Each metric's value a post, mean over seeds."""
    return {
        name: np.mean([values[name].double().numpy() for values in found], axis=0)
        for name in found[0]
    }


def spreads(found: Iterable[Mapping[str, float]]) -> dict[str, Spread]:
    """One `Spread` a key from one mapping a seed."""
    rows = list(found)
    return {key: Spread(tuple(float(row[key]) for row in rows)) for key in rows[0]}


def _each(found: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, Spread]]:
    """The spreads of each group; every seed's report has the same groups."""
    return {group: spreads(report[group] for report in found) for group in found[0]}


def _json(found: Mapping[str, Spread]) -> dict[str, Any]:
    return {name: spread.as_json() for name, spread in found.items()}
