"""A dataset and models' names in; every model fitted with every seed, judged and tested out.

OUT/runs/<model>-<seed>/    the runs; finished ones are kept, so a killed comparison goes on
OUT/posts.parquet           each metric of each model for each judged post
OUT/report.{html,md,json}   written by `reeltag.experiments.report`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.data.splits import open_split
from reeltag.errors import ReelTagError
from reeltag.experiments.contrasts import Contrasts, contrast, headline
from reeltag.experiments.facts import facts_of
from reeltag.experiments.judge import evaluate_run
from reeltag.experiments.outcomes import Outcome, Result, Spread, spreads
from reeltag.experiments.plan import Plan, check_stored, run_path, settings_of
from reeltag.experiments.train import train_run
from reeltag.models.contract import Trained
from reeltag.models.registry import entry_of
from reeltag.progress import say
from reeltag.storage import atomic_file


@dataclass(frozen=True)
class Comparison:
    """What was found; `as_json` is `report.json`."""

    plan: Plan
    outcomes: dict[str, Outcome]
    failures: dict[str, str]
    """Models that could not be fitted or judged, with the reason."""
    contrasts: dict[str, Contrasts]
    """By protocol."""
    facts: dict[str, Any]
    rows: str = "model"
    """What its outcomes are keyed by."""

    @staticmethod
    def of(
        plan: Plan,
        outcomes: dict[str, Outcome],
        failures: dict[str, str],
        facts: dict[str, Any],
        rows: str = "model",
    ) -> Comparison:
        """Test the outcomes against each other under every protocol of the plan."""
        metric = headline(plan.tops)
        contrasts: dict[str, Contrasts] = {
            protocol: contrast({n: o.results[protocol] for n, o in outcomes.items()}, metric)
            for protocol in plan.protocols
        }
        return Comparison(plan, outcomes, failures, contrasts, facts, rows)

    def bucket(self, name: str) -> Comparison | None:
        """The same over hashtags of one popularity alone; None where nothing is judged by them."""
        outcomes = {
            model: replace(
                found, results={p: result.bucket(name) for p, result in found.results.items()}
            )
            for model, found in self.outcomes.items()
        }
        first = next(iter(outcomes.values())).results
        if not all(result.posts for result in first.values()):
            return None
        return Comparison.of(self.plan, outcomes, self.failures, self.facts, self.rows)

    @property
    def metric(self) -> str:
        """The headline metric."""
        return headline(self.plan.tops)

    def as_json(self) -> dict[str, Any]:
        """Everything but the values of single posts."""
        return {
            "models": [outcome.as_json() for outcome in self.outcomes.values()],
            "failed": [{"model": name, "reason": why} for name, why in self.failures.items()],
            "headline": {"protocol": "full", "metric": self.metric},
            "protocols": list(self.plan.protocols),
            "tops": list(self.plan.tops),
            "seeds": list(self.plan.seeds),
            "significance": {name: found.as_json() for name, found in self.contrasts.items()},
            **self.facts,
        }


def compare(dataset: Dataset, plan: Plan, out: Path, *, command: str = "") -> Comparison:
    """Fit, judge and test the models of `plan`; runs are kept in `out`.

    A model that cannot be fitted or judged is listed with its reason and does not stop the
    others. Raises `RunError` where `out` holds runs of another dataset, split or settings,
    and `ReelTagError` where no model could be judged.
    """
    facts = facts_of(dataset, open_split(dataset, plan.split), command)
    for name, seed in plan.jobs():
        check_stored(dataset, plan, name, seed, run_path(out, name, seed))
    descriptions, failures = _fit_all(dataset, plan, out)
    outcomes: dict[str, Outcome] = {}
    for name in plan.models:
        if name in failures:
            continue
        try:
            outcomes[name] = _outcome(dataset, plan, name, out, descriptions)
        except Exception as fault:  # one model must not cost the results of the others
            failures[name] = _fail(name, fault)
    if not outcomes:
        reasons = "; ".join(f"{name}: {why}" for name, why in failures.items())
        raise ReelTagError(f"No model could be compared. {reasons}")
    _write_values(out / "posts.parquet", dataset, plan, outcomes)
    return Comparison.of(plan, outcomes, failures, facts)


def _fit_all(
    dataset: Dataset, plan: Plan, out: Path
) -> tuple[dict[tuple[str, int], dict[str, Any]], dict[str, str]]:
    """Train what is not trained yet: `run.toml` of every job, and reasons of failed models."""
    jobs = plan.jobs()
    done: dict[tuple[str, int], dict[str, Any]] = {}
    failures: dict[str, str] = {}
    took: dict[str, list[float]] = {}
    for number, (name, seed) in enumerate(jobs, 1):
        if name in failures:
            continue
        left = [j for j in jobs[number - 1 :] if not (run_path(out, *j) / "run.toml").is_file()]
        say(f"{number} of {len(jobs)}: {name}, seed {seed}{_estimate(left, took)}")
        try:
            done[name, seed] = train_run(
                dataset,
                plan.split,
                name,
                settings_of(plan, name, seed),
                run_path(out, name, seed),
                device=plan.device,
                resume=True,
            )
        except Exception as fault:
            seeded = f"seed {seed}: " if len(plan.seeds_of(name)) > 1 and took.get(name) else ""
            failures[name] = seeded + _fail(name, fault)
            continue
        took.setdefault(name, []).append(done[name, seed]["results"]["seconds"])
    return done, failures


def _estimate(left: Sequence[tuple[str, int]], took: Mapping[str, Sequence[float]]) -> str:
    """How long the jobs in `left` will take, by the ones before them."""
    known = [seconds for found in took.values() for seconds in found]
    if not known:
        return ""
    usual = sum(known) / len(known)
    total = sum(sum(took[name]) / len(took[name]) if name in took else usual for name, _ in left)
    return f" (about {total:.0f} s left)" if total >= 1 else ""


def _fail(name: str, fault: Exception) -> str:
    kind = "" if isinstance(fault, ReelTagError) else f"{type(fault).__name__}: "
    reason = f"{kind}{fault}"
    say(f"{name} is left out: {reason}")
    return reason


def _outcome(
    dataset: Dataset,
    plan: Plan,
    name: str,
    out: Path,
    descriptions: Mapping[tuple[str, int], dict[str, Any]],
) -> Outcome:
    seeds = plan.seeds_of(name)
    runs = [descriptions[name, seed] for seed in seeds]
    entry = entry_of(name)
    results: dict[str, Result] = {
        protocol: Result.of(
            [
                evaluate_run(
                    run_path(out, name, seed), dataset, "test", protocol, plan.tops, 0, plan.device
                )
                for seed in seeds
            ]
        )
        for protocol in plan.protocols
    }
    trained = issubclass(entry.model, Trained)
    training = {k: v for k, v in runs[0]["training"].items() if k != "seed"} if trained else {}
    return Outcome(
        model=name,
        source=entry.source,
        seeds=seeds,
        settings={k: v for k, v in runs[0]["settings"].items() if k != "seed"},
        training=training,
        parameters=runs[0]["sizes"]["parameters"],
        stored_bytes=(run_path(out, name, seeds[0]) / "model.safetensors").stat().st_size,
        epochs=tuple(run["results"]["epochs"] for run in runs),
        fit_seconds=Spread(tuple(float(run["results"]["seconds"]) for run in runs)),
        validation=spreads(run["results"]["metrics"] for run in runs),
        results=results,
    )


def _write_values(
    path: Path, dataset: Dataset, plan: Plan, outcomes: Mapping[str, Outcome]
) -> None:
    """One row a protocol, model and judged post: its metrics, mean over seeds."""
    rows = open_split(dataset, plan.split).rows("test")
    frames = [
        pl.DataFrame(
            {
                "protocol": [protocol] * len(result.judged),
                "model": [name] * len(result.judged),
                "post": dataset.posts["post"].gather(rows[result.judged]),
                **result.values,
            }
        )
        for name, outcome in outcomes.items()
        for protocol, result in outcome.results.items()
    ]
    with atomic_file(path) as stream:
        pl.concat(frames).write_parquet(stream)
