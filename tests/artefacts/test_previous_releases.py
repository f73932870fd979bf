"""What earlier releases stored still opens, still answers the same, and is still gone on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import open_split
from reeltag.experiments.train import train_run
from reeltag.features import job
from reeltag.training.checkpoints import load_checkpoint
from reeltag.training.description import check_run
from reeltag.training.evidence import load_evidence
from reeltag.training.run import load_run
from tests.artefacts.make import FEATURES, SETTINGS, answers_of, said_by

RELEASES = sorted(path for path in Path(__file__).parent.iterdir() if (path / "dataset").is_dir())
_LARGEST = 300_000


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what a release stored."""
    shutil.copytree(request.param, tmp_path / "stored")
    return tmp_path / "stored"


@pytest.fixture
def expected(release: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((release / "expected.json").read_text())
    return found


def test_the_dataset_opens(release: Path, expected: dict[str, Any]) -> None:
    dataset = Dataset.open(release / "dataset")
    assert dataset.counts == expected["counts"]
    assert len(dataset.posts) == len(dataset.posts["post"].unique()) == expected["counts"]["posts"]
    assert dataset.users["gender"].to_list() == list("fmfmf")
    assert set(dataset.features) == set(FEATURES)
    for name, total in expected["features"].items():
        assert float(dataset.feature(name).values.sum()) == pytest.approx(total, rel=1e-6)
    assert not dataset.feature("acoustic-test").present[3]
    assert len(open_split(dataset, "main").rows("train")) == 45
    assert open_split(dataset, "time").cold


def test_a_trained_run_answers_the_same(release: Path, expected: dict[str, Any]) -> None:
    assert_close(answers_of(release, "gcn-phr"), expected["gcn-phr"])


@pytest.mark.long
def test_the_house_model_answers_the_same(release: Path, expected: dict[str, Any]) -> None:
    assert_close(answers_of(release, "reeltag"), expected["reeltag"])


@pytest.mark.parametrize("name", SETTINGS)
def test_runs_open(release: Path, name: str) -> None:
    run = load_run(release / name, "cpu")
    check_run(run.path, run.description, evidence=True)
    evidence = load_evidence(run.path / "evidence", run.model.sizes)
    assert len(evidence.posts) == run.description["sizes"]["training_posts"]
    assert evidence.nearest is not None
    assert "all" in run.hashtags.names


def test_an_unfinished_run_is_gone_on_with(release: Path, tmp_path: Path) -> None:
    dataset, settings = Dataset.open(release / "dataset"), SETTINGS["gcn-phr"]
    stored = json.loads((release / "gcn-phr" / "history.json").read_text())
    out = release / "unfinished"
    assert said_by(out / "checkpoint.safetensors")["epoch"] == 1
    train_run(dataset, "main", "gcn-phr", settings, out, device="cpu", resume=True)
    history = json.loads((out / "history.json").read_text())
    assert history[0] == stored[0]  # the epoch that was stored then
    assert [row["loss"] for row in history] == pytest.approx([r["loss"] for r in stored], rel=1e-4)
    assert not (out / "checkpoint.safetensors").exists()


def test_a_checkpoint_of_other_settings_is_refused_not_misread(release: Path) -> None:
    with pytest.raises(Exception, match="other settings"):
        load_checkpoint(release / "unfinished" / "checkpoint.safetensors", {})


def test_an_unfinished_extraction_ends_as_one_from_the_start(release: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(release / "dataset")
    new = Dataset.create(tmp_path / "new", dataset.posts, source={})
    parts = sorted((release / "dataset" / "features" / ".textual-tokens.partial").glob("0*"))
    (made,) = job.extract(dataset, textual=["tokens"]).features
    # Parts of 0.1.0 do not say what they were made from.
    assert made.discarded == len(parts) == 1
    job.extract(new, textual=["tokens"])
    for file in sorted((new.path / "features" / "textual-tokens").iterdir()):
        assert (
            file.read_bytes() == (dataset.path / "features/textual-tokens" / file.name).read_bytes()
        )
    assert not list((release / "dataset" / "features").glob(".*"))


def test_the_set_is_small() -> None:
    assert RELEASES
    files = [file for path in RELEASES for file in path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < _LARGEST


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["reasons"] == expected["reasons"]
    assert list(found["recommended"]) == list(expected["recommended"])
    assert found["recommended"] == pytest.approx(expected["recommended"], abs=1e-4)
    assert found["ndcg@5"] == pytest.approx(expected["ndcg@5"], abs=1e-6)
