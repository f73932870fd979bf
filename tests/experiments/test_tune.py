"""Tuning: on validation alone, resumable, its best.toml trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import Field

from reeltag.data.corpus import Corpus
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import ConfigError, InputError, ReelTagError, RunError
from reeltag.experiments import tune as tuning
from reeltag.experiments.search_space import Choice, Span, range_of, search_space
from reeltag.experiments.train import train_run
from reeltag.experiments.tune import Search, tune
from reeltag.models.contract import ModelConfig
from reeltag.models.registry import REGISTRY
from reeltag.training.settings import divide_settings, read_settings
from tests.cli.test_commands import reeltag
from tests.conftest import make_dataset

pytest.importorskip("optuna")
FIXED: dict[str, Any] = {"epochs": 2, "dim": 4, "layers": 1}
GCN = Search("gcn-phr", fixed=FIXED)


@pytest.fixture(scope="module")
def tuned(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("tuned")
    return out, tune(dataset, GCN, 4, out)


def test_what_is_written(tuned: Any) -> None:
    out, found = tuned
    assert sorted(path.name for path in out.iterdir()) == [
        "best.toml", "study.log", "trials.json", "tuning.png",
    ]  # fmt: skip
    stored = json.loads((out / "trials.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(found))
    assert len(stored["trials"]) == 4
    assert stored["best"]["value"] == max(trial["value"] for trial in stored["trials"])
    assert (out / "tuning.png").read_bytes()[:4] == b"\x89PNG"
    for trial in stored["trials"]:
        assert set(trial["settings"]) == set(stored["space"])
        assert not set(trial["settings"]) & set(FIXED)


def test_best_trains_to_the_score_that_was_found(
    dataset: Dataset, tuned: Any, tmp_path: Path
) -> None:
    out, found = tuned
    settings = read_settings(out / "best.toml", [])
    trained = train_run(dataset, "main", "gcn-phr", settings, tmp_path / "run")
    assert trained["results"]["metrics"]["recall@10"] == pytest.approx(found["best"]["value"])
    assert trained["settings"]["dim"] == 4


def test_a_killed_search_ends_as_one_that_was_not(
    dataset: Dataset, tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = tuned
    real, calls = tuning.fit, []

    def dies(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given, **named)

    monkeypatch.setattr(tuning, "fit", dies)
    with pytest.raises(KeyboardInterrupt):
        tune(dataset, GCN, 4, tmp_path)
    assert not (tmp_path / "best.toml").exists()
    again = tune(dataset, GCN, 4, tmp_path)
    assert len(calls) == 3 + 2
    kept = [[(t["settings"], t["value"]) for t in f["trials"]] for f in (whole, again)]
    assert kept[0] == kept[1]
    with pytest.raises(RunError, match="other seed"):
        tune(dataset, Search("gcn-phr", fixed=FIXED, seed=1), 5, tmp_path)


def test_test_posts_are_never_read(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage in the test posts (hashtags, captions, features) changes no trial."""
    clean = make_dataset(tmp_path / "clean")
    parts = make_split(clean, "main", SplitRecipe()).parts
    test = (parts == "test").to_numpy()
    spoiled = clean.posts.with_columns(
        hashtags=pl.when(pl.Series(test)).then(pl.lit(["garbage"])).otherwise(pl.col("hashtags")),
        caption=pl.when(pl.Series(test)).then(pl.lit("garbage")).otherwise(pl.col("caption")),
    ).drop("part")
    features = []
    for name in clean.features:
        feature = clean.feature(name)
        values = np.array(feature.values)
        values[test] = 1e9
        features.append(Feature(feature.manifest, values, np.array(feature.present)))
    planted = Dataset.create(
        tmp_path / "planted", spoiled, source={"format": "generated"}, features=features
    )
    make_split(planted, "main", SplitRecipe())
    asked: list[str] = []
    real = Corpus.part
    monkeypatch.setattr(Corpus, "part", lambda self, part: asked.append(part) or real(self, part))
    found = [
        tune(made, Search("gcn-phr", fixed=FIXED), 2, tmp_path / f"out{number}")
        for number, made in enumerate((clean, planted))
    ]
    assert [t["value"] for t in found[0]["trials"]] == [t["value"] for t in found[1]["trials"]]
    assert set(asked) == {"train", "validation"}


def test_models_that_count_are_tuned_too(dataset: Dataset, tmp_path: Path) -> None:
    found = tune(dataset, Search("content-knn", metric="mrr"), 3, tmp_path)
    assert set(found["space"]) == {"neighbours"}
    assert found["metric"] == "mrr"
    with pytest.raises(InputError, match="nothing to tune"):
        tune(dataset, Search("popularity"), 1, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_trials_that_diverge_are_kept_with_their_reason(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*_: Any, **__: Any) -> Any:
        raise ReelTagError("the loss is nan")

    monkeypatch.setattr(tuning, "fit", diverges)
    with pytest.raises(ReelTagError, match=r"None of 2 trials .* the loss is nan"):
        tune(dataset, GCN, 2, tmp_path)


def test_pruned_trials_have_no_value(dataset: Dataset, tmp_path: Path) -> None:
    fixed = {**FIXED, "epochs": 3}
    found = tune(dataset, Search("gcn-phr", fixed=fixed, prune=True), 7, tmp_path)
    for trial in found["trials"]:
        assert (trial["value"] is None) == (trial["state"] == "pruned")


def test_ranges_come_from_the_settings() -> None:
    class Config(ModelConfig):
        open_end: int = Field(8, ge=1)
        closed: float = Field(0.5, ge=0, lt=1)
        free: float = 0.2
        switch: bool = False
        nothing: float = Field(0.0, ge=0)
        words: str = "x"

    fields = Config.model_fields
    assert range_of(fields["open_end"]) == Span(2, 32, whole=True, log=True)
    assert range_of(fields["closed"]) == Span(0.0, 0.999)
    assert range_of(fields["free"]) == Span(pytest.approx(0.02), 2.0, log=True)
    assert range_of(fields["switch"]) == Choice((False, True))
    assert range_of(fields["nothing"]) is None
    assert range_of(fields["words"]) is None
    space = search_space("gcn-phr", {"dim": 8})
    assert "dim" not in space
    assert space["fusion"] == Choice(("network", "transform"))
    assert "learning_rate" in space
    assert not {"seed", "epochs", "patience"} & set(space)


def test_bad_searches() -> None:
    with pytest.raises(ConfigError, match="recall@10, ndcg@10"):
        Search("gcn-phr", metric="luck")
    with pytest.raises(ConfigError, match="mean dim"):
        Search("gcn-phr", fixed={"dims": 3})


def test_the_command(dataset: Dataset, tmp_path: Path) -> None:
    out, err = reeltag(
        "tune", dataset.path, "--model", "content-knn", "--trials", 2, "--out", tmp_path / "t",
        "--json",
    )  # fmt: skip
    assert json.loads(out)["best"]["settings"]["neighbours"] >= 5
    assert "trial 2 of 2" in err


def test_speed_and_variants_are_not_searched() -> None:
    kept = {"post_attention", "user_guided", "neighbours", "projections", "half_features"}
    assert not kept & set(search_space("gcn-phr", {}))


def test_every_model_has_a_space_it_can_be_built_from() -> None:
    """The ends of every range are settings that the model accepts."""
    for name in REGISTRY:
        space = search_space(name, {})
        ends = [
            {
                key: found.values[end]
                if isinstance(found, Choice)
                else (int if found.whole else float)((found.low, found.high)[end])
                for key, found in space.items()
            }
            for end in (0, -1)
        ]
        for settings in ends:
            divide_settings(name, Search(name).settings(settings))
