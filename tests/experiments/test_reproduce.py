"""Reproducing a paper's tables and figure: its numbers beside ours, missing models named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError, DatasetError
from reeltag.experiments.figure import Shown, draw_figure, show_posts
from reeltag.experiments.papers.gcn_phr import TABLE_3, TABLE_4
from reeltag.experiments.papers.procedure import Procedure
from reeltag.experiments.plan import Plan
from reeltag.experiments.reproduce import PROCEDURES, procedure_of, reproduce
from reeltag.models.registry import REGISTRY
from tests.cli.test_commands import reeltag
from tests.experiments.test_report import read

QUICK: dict[str, Any] = {"dim": 4, "epochs": 1}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name that a procedure needs; absent ones are stood in for by a simple model."""
    for procedure in PROCEDURES.values():
        for name in procedure.models:
            if name not in REGISTRY:
                monkeypatch.setitem(REGISTRY, name, REGISTRY["content-knn"])


def test_the_papers_numbers_are_printed_ones() -> None:
    for table in (TABLE_3, TABLE_4):
        assert set(table.numbers) == {"YFCC100M", "Instagram"}
        for rows in table.numbers.values():
            assert set(rows) == set(table.rows.values())
            for p5, p10, r5, r10, a5, a10 in rows.values():
                # What holds of any ranking: a slip of the scan would break it.
                assert p5 >= p10 >= p5 / 2
                assert r5 <= r10 <= 2 * r5
                assert p5 <= a5 <= a10 <= 1
    assert TABLE_3.of("contagnet")["Instagram"][4] == 0.7444
    assert TABLE_4.of("gcn-phr-i")["Instagram"][1:3] == (0.5833, 0.3473)
    assert TABLE_3.of("gcn-phr") == TABLE_4.of("gcn-phr")
    assert TABLE_3.of("popularity") == {}


def test_printed_improvements_follow_from_the_numbers() -> None:
    """The paper's row of improvements over USHM, its best baseline, to its rounding."""
    yfcc = TABLE_3.numbers["YFCC100M"]
    ours, best = np.array(yfcc["GCN-PHR"]), np.array(yfcc["USHM"])
    found = 100 * (ours / best - 1)
    np.testing.assert_allclose(found, [2.90, 12.61, 5.34, 8.30, 0.01, 1.62], atol=0.06)


def test_a_table(dataset: Dataset, tmp_path: Path, registered: None) -> None:
    procedure = procedure_of("gcn-phr:table4")
    pairs = {f"{name}.{key}": value for name in procedure.models for key, value in QUICK.items()
             if issubclass(REGISTRY[name].model, REGISTRY["gcn-phr"].model)}  # fmt: skip
    values = reproduce(procedure, dataset, tmp_path, seeds=(0,), pairs=pairs, command="c")
    assert values["procedure"] == "gcn-phr:table4"
    assert values["protocols"] == ["sampled", "full"]
    assert values["paper"]["numbers"]["YFCC100M"]["gcn-phr"][0] == 0.4004
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    read(page)
    assert '<tr class="paper"><th scope="row">paper, YFCC100M</th>' in page
    assert "<th>P@5</th><th>P@10</th><th>R@5</th>" in page
    assert "not comparable" in page
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "*0.6703*" in text


def test_a_figure(dataset: Dataset, tmp_path: Path) -> None:
    procedure = Procedure("x:fig", "X, Figure 1", "posts", ("popularity", "user-history"))
    values = reproduce(procedure, dataset, tmp_path, users=["u1", "u3"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    read((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert {post["user"] for post in values["posts"]} == {"u1", "u3"}
    for post in values["posts"]:
        own = {past["hashtag"] for past in post["past"]}
        for tag in post["recommended"]["user-history"]:
            if tag["hashtag"] in post["hashtags"]:
                assert tag["kind"] == "hit"
            elif tag["hashtag"] in own:
                assert tag["kind"] == "own"
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert stored["posts"] == json.loads(json.dumps(values["posts"]))
    with pytest.raises(DatasetError, match="User nobody"):
        show_posts(dataset, Plan(("popularity",)), ["popularity"], tmp_path, ["nobody"])


def test_any_letters_and_pictures_are_drawn() -> None:
    frames = [np.full((240, 135, 3), 90, np.uint8), np.full((100, 200, 3), 200, np.uint8)]
    shown = Shown(
        "p", "ü$er_1$", "costs $5 and $6 跳舞 🎉 " * 9, ["a$b", "舞蹈"], [("舞蹈", 3)],
        {"m": [("a$b", "hit"), ("x" * 60, "own"), ("^_{", "other")]}, frames,
    )  # fmt: skip
    plot = draw_figure([shown, shown])
    assert plot.light[:4] == b"\x89PNG"
    assert "m 1 of 2" in plot.alt


def test_unknown_names_list_the_valid_ones() -> None:
    _, err = reeltag("reproduce", "gcn-phr:table5", "nowhere", "--out", "x", code=2)
    for name in PROCEDURES:
        assert name in err
    assert "Did you mean" in err


def test_missing_models_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("utm", "blend"):
        monkeypatch.delitem(REGISTRY, name, raising=False)
    with pytest.raises(ConfigError, match=r"does not have: utm.*blend"):
        procedure_of("gcn-phr:table3")
