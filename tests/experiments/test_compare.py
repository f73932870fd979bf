"""Comparing models: equal to judging each run, resumed after a kill, no model stops the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import ConfigError, ReelTagError, RunError
from reeltag.experiments import compare as comparing
from reeltag.experiments.compare import Comparison, compare
from reeltag.experiments.judge import evaluate_run
from reeltag.experiments.outcomes import Spread
from reeltag.experiments.plan import Plan, assign_settings, protocols_of, read_configs, run_path
from tests.conftest import make_dataset

QUICK: dict[str, Any] = {"dim": 4, "epochs": 2, "batch_size": 64}
MODELS = ("popularity", "user-history", "content-knn", "gcn-phr")
PLAN = Plan(MODELS, seeds=(0, 1), protocols=("sampled", "full"), settings={"gcn-phr": QUICK})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def found(dataset: Dataset, folder: Path) -> Comparison:
    return compare(dataset, PLAN, folder, command="reeltag compare")


@pytest.mark.parametrize("protocol", PLAN.protocols)
def test_numbers_are_those_of_evaluate(
    dataset: Dataset, folder: Path, found: Comparison, protocol: Any
) -> None:
    by_name = {model["model"]: model for model in found.as_json()["models"]}
    for name in MODELS:
        reports = [
            evaluate_run(run_path(folder, name, seed), dataset, "test", protocol, (5, 10))
            for seed in PLAN.seeds_of(name)
        ]
        shown = by_name[name]["test"][protocol]
        for metric, spread in shown["metrics"].items():
            values = [report.metrics[metric] for report in reports]
            assert spread["values"] == values
            assert spread["mean"] == pytest.approx(np.mean(values))
        recall = shown["by_popularity"]["unpopular"]["recall@10"]["values"]
        assert recall == [report.by_popularity["unpopular"]["recall@10"] for report in reports]
        new = shown["new_to_user"]["recall@10"]["values"]
        assert new == [report.new_to_user["recall@10"] for report in reports]


def test_models_that_count_are_fitted_once_and_seeds_differ(
    folder: Path, found: Comparison
) -> None:
    assert {name: o.seeds for name, o in found.outcomes.items()} == {
        "popularity": (0,), "user-history": (0,), "content-knn": (0,), "gcn-phr": (0, 1),
    }  # fmt: skip
    first, second = (run_path(folder, "gcn-phr", s) / "model.safetensors" for s in (0, 1))
    assert first.read_bytes() != second.read_bytes()
    seeds = found.outcomes["gcn-phr"].validation["mrr"].values
    assert seeds[0] != seeds[1]


def test_values_a_post_average_to_the_means(folder: Path, found: Comparison) -> None:
    frame = pl.read_parquet(folder / "posts.parquet").filter(pl.col("protocol") == "full")
    for name, outcome in found.outcomes.items():
        of_model = frame.filter(pl.col("model") == name)
        result = outcome.results["full"]
        assert of_model.height == result.posts
        for metric, spread in result.metrics.items():
            assert of_model[metric].mean() == pytest.approx(spread.mean)


def test_tests_are_against_the_best_and_the_reference(found: Comparison) -> None:
    contrasts = found.contrasts["full"]
    means = {n: o.results["full"].metrics["recall@10"].mean for n, o in found.outcomes.items()}
    best = max(means, key=lambda name: means[name])
    assert contrasts.best["recall@10"] == best
    assert {test.second for test in contrasts.against_best} == set(MODELS) - {best}
    for test in contrasts.against_best:
        assert test.difference == pytest.approx(means[best] - means[test.second])
        assert test.low <= test.difference <= test.high
        assert (test.second in contrasts.like_best["recall@10"]) == (not test.significant)
    assert set(contrasts.against_reference) == {"user-history"}
    for model, (low, high) in contrasts.intervals.items():
        assert low <= means[model] <= high


def test_a_killed_comparison_goes_on(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(("popularity", "gcn-phr"), seeds=(0, 1), settings={"gcn-phr": QUICK})
    real, calls = comparing.train_run, []

    def dies(*given: Any, **named: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(given[2])
        return real(*given, **named)

    monkeypatch.setattr(comparing, "train_run", dies)
    with pytest.raises(KeyboardInterrupt):
        compare(dataset, plan, tmp_path)
    monkeypatch.setattr(comparing, "train_run", real)
    weights = run_path(tmp_path, "gcn-phr", 0) / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert not run_path(tmp_path, "gcn-phr", 1).exists()
    found = compare(dataset, plan, tmp_path)
    assert weights.stat().st_mtime_ns == before
    assert found.outcomes["gcn-phr"].seeds == (0, 1)
    again = compare(dataset, plan, tmp_path)
    assert _numbers(again) == _numbers(found)


def _numbers(found: Comparison) -> str:
    kept = {n: [s.values for s in o.results["full"].metrics.values()]
            for n, o in found.outcomes.items()}  # fmt: skip
    return json.dumps([kept, found.contrasts["full"].as_json()])


def test_runs_of_other_settings_are_refused(dataset: Dataset, folder: Path, found: Any) -> None:
    other = Plan(("gcn-phr",), settings={"gcn-phr": {**QUICK, "dim": 5}})
    with pytest.raises(RunError, match="made with other settings"):
        compare(dataset, other, folder)
    other = Plan(("content-knn",), settings={"content-knn": {"features": "visual"}})
    with pytest.raises(RunError, match="made with other features"):
        compare(dataset, other, folder)


def test_a_model_that_cannot_take_part_is_listed(tmp_path: Path) -> None:
    made = make_dataset(tmp_path / "made", posts=80)
    posts = made.posts.with_columns(user=pl.lit(None, dtype=pl.Utf8)).drop("part")
    nobody = Dataset.create(tmp_path / "nobody", posts, source={"format": "generated"})
    make_split(nobody, "main", SplitRecipe(by="random"))
    plan = Plan(("gcn-phr", "popularity"), settings={"gcn-phr": QUICK})
    found = compare(nobody, plan, tmp_path / "out")
    assert list(found.outcomes) == ["popularity"]
    assert "no training post has a user" in found.failures["gcn-phr"]
    with pytest.raises(ReelTagError, match=r"No model could be compared\. gcn-phr: "):
        compare(nobody, Plan(("gcn-phr",)), tmp_path / "none")


def test_a_defect_in_one_model_is_its_own(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = comparing.train_run

    def breaks(*given: Any, **named: Any) -> Any:
        if given[2] == "content-knn":
            raise RuntimeError("shapes differ")
        return real(*given, **named)

    monkeypatch.setattr(comparing, "train_run", breaks)
    found = compare(dataset, Plan(("content-knn", "popularity")), tmp_path)
    assert found.failures == {"content-knn": "RuntimeError: shapes differ"}


def test_settings_find_their_models(tmp_path: Path) -> None:
    given = {"epochs": 3, "gcn-phr.dim": 8, "neighbours": 9}
    assigned = assign_settings(("gcn-phr", "content-knn", "popularity"), given)
    assert assigned["gcn-phr"].items() >= {"epochs": 3, "dim": 8}.items()
    assert assigned["content-knn"] == {"neighbours": 9}
    assert assigned["popularity"] == {}
    (tmp_path / "best.toml").write_text("[model]\ndim = 2\n[training]\nseed = 4\nepochs = 7\n")
    configs = read_configs(("gcn-phr",), [f"gcn-phr={tmp_path / 'best.toml'}"])
    assert assign_settings(("gcn-phr",), {"dim": 3}, configs) == {
        "gcn-phr": {"dim": 3, "epochs": 7}
    }
    for pairs, message in (
        ({"popularity.epochs": 1}, "does not take part"),
        ({"depth": 1}, "none of gcn-phr"),
        ({"seed": 1}, "--seeds"),
        ({"gcn-phr.seed": 1}, "--seeds"),
    ):
        with pytest.raises(ConfigError, match=message):
            assign_settings(("gcn-phr",), pairs)
    with pytest.raises(ConfigError, match=r"MODEL=FILE\.toml"):
        read_configs(("gcn-phr",), ["popularity=x.toml"])


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ((), "different models"),
        (("popularity", "popularity"), "different models"),
        (("popularitea",), "Did you mean popularity"),
    ],
)
def test_bad_plans(models: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan(models)


def test_full_ranking_is_always_reported() -> None:
    assert protocols_of("full") == ("full",)
    assert protocols_of("sampled") == ("sampled", "full")


def test_spread() -> None:
    assert Spread((1.0, 3.0)).mean == 2.0
    assert Spread((1.0, 3.0)).deviation == pytest.approx(2**0.5)
    assert Spread((1.0,)).deviation == 0.0
