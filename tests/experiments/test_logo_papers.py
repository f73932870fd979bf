"""LOGO's tables and figures on small data: every procedure ends in its report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from reeltag.data.corpus import open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import open_split
from reeltag.errors import ConfigError, RunError
from reeltag.experiments.buckets import bucket_dataset, hashtags_of
from reeltag.experiments.counts import histograms
from reeltag.experiments.papers.logo import TABLE_1, TABLE_2, TABLE_3, TABLE_4
from reeltag.experiments.papers.procedure import Procedure, Sweep
from reeltag.experiments.reproduce import PROCEDURES, procedure_of, reproduce
from tests.cli.test_commands import reeltag
from tests.experiments.test_report import read

QUICK: dict[str, Any] = {
    "epochs": 1, "dim": 4, "hidden_visual": 4, "hidden_acoustic": 4, "hidden_textual": 4,
}  # fmt: skip


def quick(name: str, *models: str) -> Procedure:
    return replace(PROCEDURES[name], models=models)


TABLES = (TABLE_1, *TABLE_2.values(), *TABLE_3.values(), TABLE_4)


def test_the_papers_numbers_are_printed_ones() -> None:
    for table in TABLES:
        (rows,) = table.numbers.values()
        assert set(rows) == set(table.rows.values())
        for r5, n5, r10, n10 in rows.values():
            assert n5 < n10 < r10
            # One hashtag is looked for: a hit in the first five is worth 1/log₂ 6 to 1.
            assert r5 / np.log2(6) < n5 < r5 < r10
    (all_of_them,) = TABLE_4.numbers.values()
    (first,) = TABLE_1.numbers.values()
    assert all_of_them["All"] == first["LOGO"]


def test_half_of_the_papers_rows_contradict_its_own_metric() -> None:
    """A hit at places 6 to 10 adds 1/log₂ 11 to 1/log₂ 7 to NDCG, as the reports say."""
    rows = [row for table in TABLES for found in table.numbers.values() for row in found.values()]
    gains = np.array([(n10 - n5) / (r10 - r5) for r5, n5, r10, n10 in rows])
    rounding = 0.002
    impossible = (gains < 1 / np.log2(11) - rounding) | (gains > 1 / np.log2(7) + rounding)
    assert (int(impossible.sum()), len(rows)) == (23, 45)
    assert "23 of the paper's 45 rows" in TABLE_1.note


def test_table_1_judges_each_hashtag_among_a_hundred(dataset: Dataset, tmp_path: Path) -> None:
    procedure = quick("logo:table1", "logo-a", "logo", "content-knn", "caption-words")
    values = reproduce(procedure, dataset, tmp_path, seeds=(0, 1), pairs=QUICK)
    assert values["failed"] == []
    assert values["protocols"] == ["leave-one-out", "full"]
    assert values["models"][1]["seeds"] == [0, 1]
    assert set(values["significance"]) == {"leave-one-out", "full"}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    read(page)
    assert "<th>R@5</th><th>NDCG@5</th><th>R@10</th><th>NDCG@10</th>" in page
    assert '<tr class="paper"><th scope="row">paper, its own posts</th>' in page
    assert "--ratio 8:1:1" in page


def test_five_fits_are_the_default() -> None:
    assert procedure_of("logo:fig5").seeds == 5
    assert procedure_of("uhman:table3").seeds == 3


def test_table_2_takes_one_comparison_apart(dataset: Dataset, tmp_path: Path) -> None:
    procedure = quick("logo:table2", "popularity", "caption-words")
    values = reproduce(procedure, dataset, tmp_path, seeds=(0,))
    parts = values["parts"]
    assert parts
    assert set(parts) <= {"popular", "relative", "unpopular"}
    uses = 0
    for name, part in parts.items():
        (first, *_) = part["models"]
        for protocol, found in first["test"].items():
            bucket = found["by_popularity"][name]
            assert found["posts"] == bucket["posts"]["mean"]
            for metric in ("recall@5", "ndcg@5", "recall@10", "ndcg@10"):
                assert found["metrics"][metric] == bucket[metric], protocol
        uses += first["test"]["leave-one-out"]["posts"]
    judged = open_corpus(dataset, "main", []).part("test").hashtags
    assert uses == len(judged.values)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "What it costs" not in text
    for name in parts:
        assert f"{name.capitalize()}: Quality, each hashtag alone" in text


def test_table_3_makes_a_dataset_a_popularity(dataset: Dataset, tmp_path: Path) -> None:
    procedure = quick("logo:table3", "popularity", "logo-a")
    values = reproduce(procedure, dataset, tmp_path, seeds=(0,), pairs=QUICK)
    groups = hashtags_of(dataset, "main")
    counted: dict[str, int] = {}
    rows = open_split(dataset, "main").rows("train")
    for tags in dataset.posts["hashtags"].gather(rows):
        for tag in tags:
            counted[tag] = counted.get(tag, 0) + 1
    whole = dict(zip(dataset.posts["post"], open_split(dataset, "main").parts, strict=True))
    assert values["parts"]
    for name in values["parts"]:
        made = Dataset.open(tmp_path / name / "dataset")
        low, high = {"popular": (28, 10**9), "relative": (10, 27), "unpopular": (1, 9)}[name]
        expected = {tag for tag, count in counted.items() if low <= count <= high}
        assert set(groups[name]) == expected
        assert set(made.posts["hashtags"].explode()) <= expected
        assert set(made.features) == set(dataset.features)
        parts = open_split(made, "main").parts
        assert parts.to_list() == [whole[post] for post in made.posts["post"]]
    # Once more: nothing is made again; and it is refused where the posts are others.
    assert reproduce(procedure, dataset, tmp_path, seeds=(0,), pairs=QUICK)["parts"].keys() == (
        values["parts"].keys()
    )
    name = next(iter(values["parts"]))
    with pytest.raises(RunError, match="made of other posts"):
        bucket_dataset(dataset, tmp_path / name / "dataset", "main", name, groups[name].head(1))


def test_table_4_takes_every_combination(dataset: Dataset, tmp_path: Path) -> None:
    values = reproduce(procedure_of("logo:table4"), dataset, tmp_path, seeds=(0,), pairs=QUICK)
    assert [each["model"] for each in values["models"]] == ["visual", "textual", "visual,textual"]
    assert len(values["failed"]) == 4  # the dataset has no sound
    assert all("acoustic" in each["reason"] for each in values["failed"])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| modalities | R@5 | NDCG@5 |" in text
    assert "*0.4758*" in text
    with pytest.raises(ConfigError, match="leave out --set features"):
        reproduce(
            procedure_of("logo:table4"), dataset, tmp_path / "x", pairs={"features": "visual"}
        )


def test_figure_1_by_command(dataset: Dataset, tmp_path: Path) -> None:
    out, _ = reeltag("reproduce", "logo:fig1", dataset.path, "--out", tmp_path / "f", "--json")
    found = json.loads(out)["histograms"]
    assert sum(found["posts"].values()) == dataset.counts["posts"]
    assert sum(found["hashtags"].values()) == dataset.counts["hashtags"]
    assert (tmp_path / "f" / "counts-posts.png").read_bytes()[:4] == b"\x89PNG"
    read((tmp_path / "f" / "report.html").read_text(encoding="utf-8"))
    with pytest.raises(ConfigError, match="fits no model"):
        reproduce(procedure_of("logo:fig1"), dataset, tmp_path, pairs={"dim": 8})


def test_histograms_count_each_thing_once() -> None:
    tags = [[], ["a"], ["a", "b"], [f"t{n}" for n in range(12)], [*"abcdef"]]
    of_posts, of_hashtags = histograms(pl.DataFrame({"hashtags": tags}))
    assert dict(zip(of_posts.labels, of_posts.counts, strict=True)) == {
        "0": 1, "1": 1, "2": 1, "3": 0, "4": 0, "5": 0, "6-10": 1, "> 10": 1,
    }  # fmt: skip
    assert of_hashtags.counts == (16, 1, 1, 0, 0, 0, 0)
    assert sum(of_hashtags.shares) == pytest.approx(1)


def test_figure_5_varies_settings_of_the_model_and_of_its_training(
    dataset: Dataset, tmp_path: Path
) -> None:
    sweeps = (Sweep("negatives", "negatives", (1, 6)), Sweep("dropout", "ρ", (0.0, 0.3)))
    procedure = replace(procedure_of("logo:fig5"), sweeps=sweeps)
    values = reproduce(procedure, dataset, tmp_path, seeds=(0,), pairs=QUICK)
    assert values["base"] == {"negatives": 6, "dropout": 0.3}
    negatives, dropout = values["sweeps"]
    assert [point["training"]["negatives"] for point in negatives["points"]] == [1, 6]
    assert [point["settings"]["dropout"] for point in dropout["points"]] == [0.0, 0.3]
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| ρ | R@10 | NDCG@10 | parameters |" in text
    assert "Quality by ρ (dropout), leave-one-out" in text
    assert "Quality by ρ (dropout), full" in text
