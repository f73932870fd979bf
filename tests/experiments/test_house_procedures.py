"""What the house model's parts and chances are worth, on small data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError
from reeltag.experiments.calibration import brier, calibration_error, reliability
from reeltag.experiments.reproduce import PROCEDURES, procedure_of, reproduce
from reeltag.models.house_config import SCORERS
from tests.models.captioned import captioned

SMALL = {"rounds": 10, "least_rows": 3, "candidates": 12}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return captioned(tmp_path_factory.mktemp("house") / "data", posts=160, read=True).dataset


def test_bins_are_counted() -> None:
    chances = np.array([[0.05, 0.08, 0.95], [0.31, 0.39, 1.0]])
    right = np.array([[False, True, True], [False, True, True]])
    bins = reliability(chances, right)
    assert bins["hashtags"].tolist() == [2, 0, 0, 2, 0, 0, 0, 0, 0, 2]
    assert bins["chance"][[0, 3, 9]].tolist() == pytest.approx([0.065, 0.35, 0.975])
    assert bins["right"].tolist() == [0.5, 0, 0, 0.5, 0, 0, 0, 0, 0, 1.0]
    assert calibration_error(bins) == pytest.approx((2 * 0.435 + 2 * 0.15 + 2 * 0.025) / 6)
    assert brier(chances, right) == pytest.approx(np.mean((chances - right) ** 2))


def test_chances_drawn_from_themselves_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    chances = rng.random((20_000, 10))
    bins = reliability(chances, rng.random(chances.shape) < chances)
    assert calibration_error(bins) < 0.01


def test_calibration_reports_what_the_run_says(dataset: Dataset, tmp_path: Path) -> None:
    values = reproduce(procedure_of("house:calibration"), dataset, tmp_path, pairs=SMALL)
    judged = sum(each["hashtags"] for each in values["bins"])
    assert judged % 10 == 0
    assert judged > 0
    assert all(0 <= each["right"] <= 1 for each in values["bins"])
    assert json.loads((tmp_path / "report.json").read_text())["brier"] == values["brier"]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Brier score" in text
    assert (tmp_path / "calibration.png").stat().st_size > 1000


def test_every_scorer_is_left_out_once() -> None:
    variants = PROCEDURES["house:scorers"].variants
    assert [name for name in variants if name.startswith("without ")] == [
        *(f"without {name}" for name in SCORERS),
        "without refitting",
    ]


def test_modalities_that_are_not_there_are_said(dataset: Dataset, tmp_path: Path) -> None:
    procedure = procedure_of("house:modalities")
    some = {name: procedure.variants[name] for name in ("no features", "visual", "acoustic")}
    values = reproduce(replace(procedure, variants=some), dataset, tmp_path, pairs=SMALL)
    assert [each["model"] for each in values["models"]] == ["no features", "visual"]
    assert [each["model"] for each in values["failed"]] == ["acoustic"]
    assert "| features |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="leave out --set features"):
        reproduce(procedure, dataset, tmp_path / "x", pairs={"features": "visual"})
