"""Every registered model goes the whole road on a split with cold hashtags."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split, open_split
from reeltag.experiments.judge import evaluate_run
from reeltag.experiments.train import train_run
from reeltag.models.contract import Trained
from reeltag.models.registry import REGISTRY
from tests.models.captioned import captioned


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset = captioned(tmp_path_factory.mktemp("cold") / "data", read=True).dataset
    make_split(dataset, "cold", SplitRecipe(cold_hashtags=0.3))
    return dataset


@pytest.mark.parametrize("name", REGISTRY)
def test_is_trained_and_judged(made: Dataset, tmp_path: Path, name: str) -> None:
    quick = {"epochs": 1} if issubclass(REGISTRY[name].model, Trained) else {}
    train_run(made, "cold", name, quick, tmp_path / "run")
    report = evaluate_run(tmp_path / "run", made, "test", "full", (10,))
    assert report.hashtags > len(open_split(made, "cold").cold) > 0
    assert all(math.isfinite(value) for value in report.metrics.values())
    unseen = report.by_popularity["unseen"]
    assert unseen["posts"] > 0
    if name in ("tag-names", "tag-meaning"):  # what no history tells, a name can
        assert unseen["recall@10"] > 0.5
