"""Runs that go on with new posts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import InputError
from reeltag.experiments.judge import evaluate_run
from reeltag.experiments.train import train_run
from reeltag.experiments.update import update_run
from reeltag.models.house import House
from reeltag.training.run import load_run
from tests.conftest import make_dataset

QUICK: dict[str, Any] = {"dim": 6, "epochs": 3, "batch_size": 64}
SMALL: dict[str, Any] = {"rounds": 5, "least_rows": 3, "candidates": 6}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The first half of the small dataset's posts, one user of it left out."""
    folder = tmp_path_factory.mktemp("earlier")
    whole = make_dataset(folder / "whole")
    posts = whole.posts.with_row_index("row").filter(
        (pl.col("row") < 120) & (pl.col("user") != "u7")
    )
    made = Dataset.create(
        folder / "half",
        posts.drop("row"),
        source={"format": "generated"},
        features=[whole.feature(n).select(posts["row"].to_numpy()) for n in whole.features],
    )
    make_split(made, "main", SplitRecipe())
    return made


def test_a_trained_run_goes_on(earlier: Dataset, dataset: Dataset, tmp_path: Path) -> None:
    train_run(earlier, "main", "gcn-phr", QUICK, tmp_path / "before")
    made = update_run(tmp_path / "before", dataset, tmp_path / "after", settings={"epochs": 2})
    run, before = load_run(tmp_path / "after"), load_run(tmp_path / "before")
    assert made["settings"]["dim"] == 6
    assert run.users.id_of("u7") >= 0 > before.users.id_of("u7")
    assert made["results"]["epochs"] <= 2
    report = evaluate_run(tmp_path / "after", dataset, "validation", "full", (10,))
    assert report.metrics["ndcg@10"] == pytest.approx(made["results"]["metrics"]["ndcg@10"])
    again = update_run(tmp_path / "before", dataset, tmp_path / "again", settings={"epochs": 2})
    assert again["sha256"]["model.safetensors"] == made["sha256"]["model.safetensors"]
    with pytest.raises(InputError, match="holds a run already"):
        update_run(tmp_path / "before", dataset, tmp_path / "after")
    same = update_run(tmp_path / "before", dataset, tmp_path / "after", resume=True)
    assert same["sha256"] == made["sha256"]


def test_the_house_model_counts_again_and_keeps_its_trees(
    earlier: Dataset, dataset: Dataset, tmp_path: Path
) -> None:
    train_run(earlier, "main", "reeltag", SMALL, tmp_path / "before")
    made = update_run(tmp_path / "before", dataset, tmp_path / "after")
    before, after = (load_run(tmp_path / name).model for name in ("before", "after"))
    assert isinstance(before, House)
    assert isinstance(after, House)
    assert after.trees.text.equal(before.trees.text)
    assert after.sizes.users == 8
    assert made["results"]["on"] == "nothing"
    assert "Not judged" in (tmp_path / "after" / "README.md").read_text()
    report = evaluate_run(tmp_path / "after", dataset, "test", "full", (10,))
    assert 0 < report.metrics["ndcg@10"] <= 1


def test_what_the_house_model_cannot_go_on_with_is_refused(
    earlier: Dataset, dataset: Dataset, tmp_path: Path
) -> None:
    settings = {**SMALL, "scorers": "popularity,bll,gcn-phr", "epochs": 1}
    train_run(earlier, "main", "reeltag", settings, tmp_path / "joined")
    with pytest.raises(InputError, match="gcn-phr was trained to take part"):
        update_run(tmp_path / "joined", dataset, tmp_path / "after")
    train_run(earlier, "main", "reeltag", SMALL, tmp_path / "before")
    posts = dataset.posts.with_columns(pl.lit(None, pl.Utf8).alias("caption"))
    features = [dataset.feature(name) for name in dataset.features]
    mute = Dataset.create(tmp_path / "mute", posts, source={"format": "x"}, features=features)
    make_split(mute, "main", SplitRecipe())
    with pytest.raises(InputError, match=r"caption-words.* cannot work with this dataset"):
        update_run(tmp_path / "before", mute, tmp_path / "after")
    assert not (tmp_path / "after").exists()


def test_a_counted_run_is_fitted_to_all_posts(
    earlier: Dataset, dataset: Dataset, tmp_path: Path
) -> None:
    train_run(earlier, "main", "user-history", {}, tmp_path / "before")
    made = update_run(tmp_path / "before", dataset, tmp_path / "after")
    whole = train_run(dataset, "main", "user-history", {}, tmp_path / "whole")
    assert made["sha256"] == whole["sha256"]
    assert made["results"]["metrics"] == whole["results"]["metrics"]
