"""UHMAN's tables and figures on small data with regions: every procedure ends in its report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.filters import Filter, filter_dataset
from reeltag.data.splits import open_split
from reeltag.errors import ConfigError, RunError
from reeltag.experiments.balanced import balance_of, balanced_dataset, quantiles, uses_of
from reeltag.experiments.order import Order
from reeltag.experiments.papers.procedure import Sweep
from reeltag.experiments.papers.uhman import TABLE_1, TABLE_2, TABLE_3
from reeltag.experiments.reproduce import procedure_of, reproduce
from reeltag.training.description import read_description
from tests.cli.test_commands import reeltag
from tests.conftest import vector_feature
from tests.experiments.test_report import read
from tests.models.test_uhman import with_grid

QUICK: dict[str, Any] = {"epochs": 1, "dim": 8}


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Posts with regions, visual vectors and textual ones."""
    made = with_grid(tmp_path_factory.mktemp("papers") / "clips")
    rng, count = np.random.default_rng(1), made.counts["posts"]
    made.add_feature(vector_feature("visual", rng.standard_normal((count, 4))))
    made.add_feature(vector_feature("textual", rng.standard_normal((count, 3))))
    return Dataset.open(made.path)


def test_the_papers_numbers_are_printed_ones() -> None:
    for table in (TABLE_1, TABLE_2):
        (rows,) = table.numbers.values()
        assert set(rows) == set(table.rows.values())
        for p10, p50, r10, r50, f10, f50 in rows.values():
            # Its F1 is that of the means; a slip of the scan would break this or the order.
            assert abs(2 * p10 * r10 / (p10 + r10) - f10) < 1.1e-4
            assert abs(2 * p50 * r50 / (p50 + r50) - f50) < 1.1e-4
            assert p50 < p10 < 5 * p50
            assert r10 < r50 <= 5 * r10
    (rows,) = TABLE_3.numbers.values()
    for p, r, f in rows.values():
        assert abs(2 * p * r / (p + r) - f) < 1.1e-4
    assert rows["UHMAN"] == TABLE_1.numbers["Musical.ly, natural"]["UHMAN"][::2]


def test_printed_improvements_follow_from_the_numbers() -> None:
    printed = (
        (TABLE_1, [6.66, 31.09, 8.43, 1.10, 7.08, 28.64]),
        (TABLE_2, [12.34, 5.31, 10.00, 5.47, 11.90, 5.27]),
    )
    for table, improvements in printed:
        (rows,) = table.numbers.values()
        found = 100 * (np.array(rows["UHMAN"]) / np.array(rows["3WM"]) - 1)
        np.testing.assert_allclose(found, improvements, atol=0.2)


def test_table_1(regions: Dataset, tmp_path: Path) -> None:
    procedure = procedure_of("uhman:table1")
    values = reproduce(procedure, regions, tmp_path, seeds=(0,), pairs=QUICK)
    assert values["failed"] == []
    assert [each["model"] for each in values["models"]] == list(procedure.models)
    assert values["protocols"] == ["full"]
    metrics = values["models"][3]["test"]["full"]["metrics"]
    assert {"precision@10", "f1@10", "recall@50", "f1@50"} <= set(metrics)
    assert values["paper"]["numbers"]["Musical.ly, natural"]["uhman"][0] == 0.0849
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    read(page)
    assert "<th>P@10</th><th>P@50</th><th>R@10</th><th>R@50</th><th>F1@10</th>" in page
    assert '<tr class="paper"><th scope="row">paper, Musical.ly, natural</th>' in page
    assert "669, all of them ranked" in page
    assert "1,000 sampled" not in page
    assert "visual-grid" in values["notes"][-1]


def test_all_models_see_the_same_modality(regions: Dataset, tmp_path: Path) -> None:
    order = Order(procedure_of("uhman:table1"), regions, tmp_path)
    settings = order.settings()
    assert "features" not in settings["uhman"]
    assert settings["bilinear"]["features"] == settings["blend"]["features"] == "visual"
    asked = replace(order, pairs={"bilinear.features": "textual-test"}).settings()
    assert asked["bilinear"]["features"] == "textual-test"
    assert asked["three-way"]["features"] == "visual"


def test_a_dataset_without_regions_is_legal(dataset: Dataset, tmp_path: Path) -> None:
    procedure = replace(procedure_of("uhman:table1"), models=("bilinear", "uhman"))
    values = reproduce(procedure, dataset, tmp_path, seeds=(0,), pairs=QUICK)
    assert values["failed"] == []
    assert values["notes"] == [
        "Features that are read: bilinear, uhman: textual-test, visual-test."
    ]


def test_table_3_by_command(regions: Dataset, tmp_path: Path) -> None:
    out, _ = reeltag(
        "reproduce", "uhman:table3", regions.path, "--seeds", 1, "--set", "epochs=1", "--set",
        "dim=8", "--out", tmp_path / "t3", "--json",
    )  # fmt: skip
    values = json.loads(out)
    assert [each["model"] for each in values["models"]] == ["uhman-a", "uhman-b", "uhman"]
    text = (tmp_path / "t3" / "report.md").read_text(encoding="utf-8")
    assert "| model | P@10 | R@10 | F1@10 |" in text
    assert "*0.0736*" in text


def test_table_2_makes_its_dataset_once(regions: Dataset, tmp_path: Path) -> None:
    procedure = replace(procedure_of("uhman:table2"), models=("popularity", "bilinear", "uhman"))
    values = reproduce(procedure, regions, tmp_path, seeds=(0,), pairs=QUICK)
    assert values["failed"] == []
    made = Dataset.open(tmp_path / "balanced")
    assert set(made.features) == set(regions.features)
    assert open_split(made, "main").recipe == open_split(regions, "main").recipe
    assert values["dataset"]["name"] == "balanced"
    assert "so a quarter" in values["notes"][0]
    assert "paper, Musical.ly, balanced" in (tmp_path / "report.md").read_text(encoding="utf-8")
    again, _ = balanced_dataset(regions, tmp_path / "balanced", "main", 150)
    assert again.description == made.description
    assert balanced_dataset(made, tmp_path / "twice", "main", 150)[0] is made
    other = filter_dataset(regions, tmp_path / "fewer", Filter(max_posts_per_user=9))
    with pytest.raises(RunError, match="made of other posts"):
        balanced_dataset(other, tmp_path / "balanced", "main", 150)


def test_figure_3(regions: Dataset, tmp_path: Path) -> None:
    values = reproduce(procedure_of("uhman:fig3"), regions, tmp_path, split="none-is-needed")
    natural = values["distributions"]["natural"]
    tags = regions.posts["hashtags"].explode().drop_nulls()
    assert natural["uses"] == len(tags)
    assert natural["sorted"] == sorted(tags.value_counts()["count"].to_list(), reverse=True)
    balanced = values["distributions"]["balanced"]
    assert balanced["most"] < natural["most"]
    assert balanced["evenness"] > natural["evenness"]
    assert (tmp_path / "distribution.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    read(page)
    assert "Evenness" in page
    with pytest.raises(ConfigError, match="fits no model"):
        reproduce(procedure_of("uhman:fig3"), regions, tmp_path, pairs={"dim": 8})


def test_a_small_catalogue_is_balanced_by_a_quarter(regions: Dataset) -> None:
    few, many = balance_of(regions, 150), balance_of(regions, 2)
    assert few is not None
    assert many is not None
    assert "quarter" in few.note
    assert "quarter" not in many.note


def test_quantiles_and_evenness() -> None:
    posts = pl.DataFrame({"hashtags": [["a", "b"], ["a"], [], ["a", "b"]]})
    uses = uses_of(posts)
    assert uses.tolist() == [3, 2]
    found = quantiles(uses)
    assert (found["hashtags"], found["uses"], found["most"], found["least"]) == (2, 5, 3, 2)
    assert found["evenness"] == pytest.approx(0.970951, abs=1e-6)
    assert quantiles(np.array([4, 4, 4]))["evenness"] == pytest.approx(1)


def test_figure_4(regions: Dataset, tmp_path: Path) -> None:
    sweeps = (Sweep("dim", "K", (8, 10, 16)), Sweep("predictive", "d", (4, 16)))
    procedure = replace(procedure_of("uhman:fig4"), sweeps=sweeps)
    pairs = {"epochs": 1, "predictive": 4, "uhman.heads": 4, "dim": 8}
    values = reproduce(procedure, regions, tmp_path, seeds=(0, 1), pairs=pairs)
    width, factor = values["sweeps"]
    assert [point["value"] for point in width["points"]] == [8, 16]
    assert "multiple of heads" in width["failed"][0]["reason"]
    assert [point["settings"]["predictive"] for point in factor["points"]] == [4, 16]
    assert all(point["settings"]["heads"] == 4 for point in factor["points"])
    assert width["points"][0]["test"] == factor["points"][0]["test"]  # one fit, shown twice
    assert len(list((tmp_path / "points").iterdir())) == 3
    assert len(width["points"][0]["test"]["full"]["metrics"]["f1@10"]["values"]) == 2
    for name in ("sweep-dim", "sweep-predictive"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    read(page)
    assert "left out: K = 10" in page
    assert "<th>P@10</th><th>R@10</th><th>F1@10</th>" in page
    run = tmp_path / "points" / "dim-16-predictive-4" / "runs" / "uhman-0"
    assert read_description(run)["settings"]["dim"] == 16
    with pytest.raises(RunError, match="other training"):
        reproduce(procedure, regions, tmp_path, seeds=(0,), pairs={**pairs, "epochs": 2})
