"""Reports: one file that stands alone, parses, escapes, and says the same in three forms."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from reeltag.data.dataset import Dataset
from reeltag.errors import MissingExtraError
from reeltag.experiments.compare import Comparison, compare
from reeltag.experiments.page import Page, html, markdown
from reeltag.experiments.plan import Plan
from reeltag.experiments.plots import matplotlib_figure
from reeltag.experiments.report import finite, write_report
from reeltag.experiments.tables import Cell, Row, Table, p_text, quality
from tests.cli.test_commands import reeltag

VOID = {"meta", "img", "source", "br", "hr"}


class Reader(HTMLParser):
    """Checks that tags nest and keeps what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def written(
    dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Comparison, dict[str, Any]]:
    out = tmp_path_factory.mktemp("report")
    models = ("popularity", "user-history", "gcn-phr")
    quick = {"gcn-phr": {"dim": 4, "epochs": 1}}
    plan = Plan(models, seeds=(0, 1), protocols=("sampled", "full"), settings=quick)
    found = compare(dataset, plan, out, command="reeltag compare <tiny> --out 'a b'")
    return out, found, write_report(found, out, "Models on <tiny>")


def test_the_page_stands_alone(written: Any) -> None:
    out, _, _ = written
    text = (out / "report.html").read_text(encoding="utf-8")
    reader = read(text)
    assert not re.search(r"https?://|//cdn|@import|url\(|<script|<link|<iframe", text)
    pictures = [attrs for tag, attrs in reader.seen if tag == "img"]
    assert len(pictures) == 3
    for attrs, metric in zip(pictures, ("recall@10", "recall@10", "NDCG@10"), strict=True):
        assert str(attrs["src"]).startswith("data:image/png;base64,")
        assert metric in str(attrs["alt"])
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert 'name="viewport"' in text


def test_names_are_escaped(written: Any) -> None:
    out, _, _ = written
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<tiny>" not in text
    assert "Models on &lt;tiny&gt;" in text


def test_all_three_say_the_same(written: Any) -> None:
    out, found, values = written
    stored = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(finite(values)))
    page = "".join(read((out / "report.html").read_text(encoding="utf-8")).text)
    text = (out / "report.md").read_text(encoding="utf-8")
    for outcome in found.outcomes.values():
        for result in outcome.results.values():
            for spread in result.metrics.values():
                assert f"{spread.mean:.4f}" in page
                assert f"{spread.mean:.4f}" in text
    for words in ("full ranking", "Wei et al., MM 2019", "How this was made", "torch", "240 posts"):
        assert words in page
        assert words in text
    assert (out / "headline.png").read_bytes()[:4] == b"\x89PNG"
    assert "(headline.png)" in text


def test_the_report_names_the_protocol_and_when_it_is_no_sample(written: Any) -> None:
    out, _, _ = written
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "has no 1,000 other hashtags to sample" in text
    assert "(headline)" in text


def test_slices_have_a_table_each_without_empty_groups(written: Any) -> None:
    out, found, values = written
    text = (out / "report.md").read_text(encoding="utf-8")
    results = {name: outcome.results["sampled"] for name, outcome in found.outcomes.items()}
    first = next(iter(results.values()))
    assert first.by_history["0"]["posts"].mean == 0
    for title, groups in (
        ("ndcg@10 by how many posts the user had in training (sampled)", first.by_history),
        ("ndcg@10 by caption (sampled)", first.by_caption),
    ):
        table = text.split(f"## {title}\n\n")[1].split("\n\n")[0].splitlines()
        filled = [group for group in groups if groups[group]["posts"].mean]
        assert table[0] == "| " + " | ".join(["model", *filled]) + " |"
        assert len(table) == 2 + len(results)
    shown = values["models"][0]["test"]["full"]
    assert list(shown["by_history"]) == ["0", "1-4", "5-14", "15+"]
    assert list(shown["by_caption"]) == ["repeated", "new"]
    assert (out / "history.png").is_file()


def test_best_is_bold_grey_is_grey() -> None:
    table = Table(
        "T", "model", ("a",),
        (Row("x|y", (Cell("0.5000", "± 0.0100", best=True),)),
         Row("paper", (Cell("0.9000"),), grey=True),
         Row("z", (Cell("0.4000", mark="≈"),))),
        ("note & more",),
    )  # fmt: skip
    page = Page("P", ("lead",), (table,), (("command", "reeltag x"),))
    shown = html(page)
    read(shown)
    assert '<span class="best">0.5000</span>' in shown
    assert '<tr class="paper">' in shown
    assert "note &amp; more" in shown
    text = markdown(page)
    assert "| x\\|y | **0.5000** ± 0.0100 |" in text
    assert "| *paper* | *0.9000* |" in text
    assert "| z | 0.4000 ≈ |" in text
    assert "* command: `reeltag x`" in text


def test_small_p_values_are_not_zero() -> None:
    assert p_text(1e-9) == "< 0.0001"
    assert p_text(0.0321) == "0.0321"


def test_numbers_that_are_none_become_null() -> None:
    assert finite({"a": [float("nan"), (1.0, float("inf"))]}) == {"a": [None, [1.0, None]]}


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"reeltag\[report\]"):
        matplotlib_figure()


def test_the_command(dataset: Dataset, tmp_path: Path) -> None:
    out, _ = reeltag(
        "compare", dataset.path, "--models", "popularity,user-history", "--top", "3,7",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    printed = json.loads(out)
    assert printed == json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert printed["headline"] == {"protocol": "full", "metric": "recall@7"}
    assert printed["command"].startswith("reeltag compare")
    _, err = reeltag("compare", dataset.path, "--models", "no", "--out", tmp_path / "x", code=2)
    assert "expected one of" in err
    assert not (tmp_path / "x").exists()


def test_replay_says_which_models_cannot_observe(dataset: Dataset, tmp_path: Path) -> None:
    plan = Plan(("popularity", "blend"), protocols=("replay", "full"))
    found = compare(dataset, plan, tmp_path)
    replay, full = (quality(found, protocol) for protocol in plan.protocols)
    assert (
        replay.title == "Quality, full ranking in order of time; each post is observed once judged"
    )
    said = "Cannot observe, so judged as in full ranking: blend."
    assert said in replay.notes
    assert said not in full.notes
    values = found.outcomes["blend"].results
    assert values["replay"].metrics == values["full"].metrics
