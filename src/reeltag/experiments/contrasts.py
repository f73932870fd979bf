"""Models' values a post in; who is best, who cannot be told from it, and by how much, out.

Every family of comparisons (the best model against each other one, each model against a
reference) is corrected by Holm on its own, for one metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reeltag.evaluation.significance import (
    LEVEL,
    PairedTest,
    bootstrap_interval,
    compare_pairs,
    holm,
    paired_t,
)
from reeltag.experiments.outcomes import Result

REFERENCES = ("blend", "user-history")
"""Simple models that every other one is held against where they take part."""


@dataclass(frozen=True)
class Contrasts:
    """What can be said about the models under one protocol."""

    protocol: str
    metric: str
    """The headline metric that intervals and full tests are given for."""
    best: dict[str, str]
    """Metric to the model with the largest mean."""
    like_best: dict[str, list[str]]
    """Metric to the models whose mean cannot be told from the best one's (t test, Holm)."""
    intervals: dict[str, tuple[float, float]]
    """Model to the bootstrap interval of its headline metric, over posts."""
    against_best: list[PairedTest]
    against_reference: dict[str, list[PairedTest]]
    """Reference to the tests of every other model against it."""

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "protocol": self.protocol,
            "metric": self.metric,
            "level": LEVEL,
            "best": self.best,
            "like_best": self.like_best,
            "intervals": {name: list(found) for name, found in self.intervals.items()},
            "against_best": [_json(test) for test in self.against_best],
            "against_reference": {
                name: [_json(test) for test in tests]
                for name, tests in self.against_reference.items()
            },
        }


def headline(tops: Sequence[int]) -> str:
    """The metric that reports lead with: recall at 10, or else at the largest k."""
    return f"recall@{10 if 10 in tops else max(tops)}"


def contrast(results: Mapping[str, Result], metric: str, seed: int = 0) -> Contrasts:
    """Test the models of `results` (by name, one protocol) against each other."""
    first = next(iter(results.values()))
    best = {name: _best(results, name) for name in first.metrics}
    values = {model: result.values[metric] for model, result in results.items()}
    winner = best[metric]
    return Contrasts(
        protocol=first.protocol,
        metric=metric,
        best=best,
        like_best={name: _like(results, name, best[name]) for name in first.metrics},
        intervals={model: bootstrap_interval(v, seed=seed) for model, v in values.items()},
        against_best=compare_pairs(
            values, [(winner, model) for model in results if model != winner], seed=seed
        ),
        against_reference={
            reference: compare_pairs(
                values, [(model, reference) for model in results if model != reference], seed=seed
            )
            for reference in REFERENCES
            if reference in results and len(results) > 1
        },
    )


def _best(results: Mapping[str, Result], metric: str) -> str:
    return max(results, key=lambda model: results[model].metrics[metric].mean)


def _like(results: Mapping[str, Result], metric: str, best: str) -> list[str]:
    others = [model for model in results if model != best]
    top = results[best].values[metric]
    corrected = holm([paired_t(top - results[model].values[metric]) for model in others])
    return [model for model, p in zip(others, corrected, strict=True) if p >= LEVEL]


def _json(test: PairedTest) -> dict[str, Any]:
    return {**asdict(test), "significant": test.significant}
