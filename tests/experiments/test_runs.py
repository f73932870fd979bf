"""Runs: trained, stored, opened without the data, resumed after SIGKILL, refused when damaged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import ConfigError, InputError, RunError
from reeltag.experiments.judge import evaluate_run, parse_part, parse_tops
from reeltag.experiments.train import train_run
from reeltag.recommend import Recommender
from reeltag.training.run import load_run
from tests.conftest import make_dataset

QUICK: dict[str, Any] = {"dim": 6, "epochs": 3, "batch_size": 64}


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "gcn"
    train_run(dataset, "main", "gcn-phr", QUICK, out)
    return out


def test_a_run_opens_without_its_data(run: Path) -> None:
    opened = load_run(run)
    assert opened.model.name == "gcn-phr"
    assert len(opened.hashtags) == opened.model.sizes.hashtags
    assert not (run / "checkpoint.safetensors").exists()
    card = (run / "README.md").read_text()
    assert "recall@10" in card
    assert "dim = 6" in card
    assert len(json.loads((run / "history.json").read_text())) == 3


def test_a_run_judges_as_it_did_when_trained(run: Path, dataset: Dataset) -> None:
    report = evaluate_run(run, dataset, "validation", "full", (5, 10))
    stored = load_run(run).description["results"]["metrics"]
    assert report.metrics == pytest.approx(stored)
    assert set(report.as_json()) == {
        "model", "dataset", "split", "on", "protocol", "posts", "skipped", "hashtags", "metrics",
        "new_to_user", "by_popularity", "by_history", "by_caption", "seconds", "posts_per_second",
        "peak_rss_mb",
    }  # fmt: skip


def test_equal_seeds_give_equal_weights(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    train_run(dataset, "main", "gcn-phr", QUICK, tmp_path / "again")
    first = (run / "model.safetensors").read_bytes()
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == first


def test_killed_and_resumed_equals_never_killed(dataset: Dataset, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "reeltag", "train", str(dataset.path), "--model", "gcn-phr",
        "--set", "dim=6", "--set", "epochs=12", "--set", "batch_size=16", "--set", "patience=12",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--out", str(whole)], check=True, env=environment,
                   capture_output=True)  # fmt: skip
    process = subprocess.Popen(
        [*command, "--out", str(killed)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (killed / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "run.toml").exists()
    refused = subprocess.run(
        [*command, "--out", str(killed)], env=environment, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    subprocess.run([*command, "--out", str(killed), "--resume"], check=True, env=environment,
                   capture_output=True)  # fmt: skip
    for file in ("model.safetensors", "hashtags.parquet", "users.parquet"):
        assert (whole / file).read_bytes() == (killed / file).read_bytes(), file
    assert sorted(p.name for p in killed.iterdir()) == sorted(p.name for p in whole.iterdir())


def test_an_existing_run_is_not_overwritten(run: Path, dataset: Dataset) -> None:
    with pytest.raises(InputError, match="holds a run already"):
        train_run(dataset, "main", "gcn-phr", QUICK, run)
    again = train_run(dataset, "main", "gcn-phr", QUICK, run, resume=True)
    assert again["results"]["epochs"] == 3


def test_a_part_of_the_validation_posts_can_be_judged(dataset: Dataset, tmp_path: Path) -> None:
    few = [
        train_run(dataset, "main", name, {"judged": 9, "seed": seed}, tmp_path / f"{name}-{seed}")
        for name, seed in (("popularity", 0), ("bilinear", 0), ("bilinear", 1))
    ]
    assert {one["results"]["on"] for one in few} == {"validation"}
    assert len({one["results"]["posts"] for one in few}) == 1
    assert 0 < few[0]["results"]["posts"] <= 9


def test_without_reasons_a_run_still_knows_who_posted_what(
    dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "bare"
    train_run(dataset, "main", "gcn-phr", {**QUICK, "reasons": False}, out)
    assert [file.name for file in (out / "evidence").iterdir()] == ["posts.parquet"]
    opened = Recommender.load(out)
    user = opened.run.users.names[0]
    found = opened.recommend(caption="a new post", user=user, k=3)
    assert len(found) == 3
    assert opened.evidence.nearest is None


def test_damage_is_named(run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    weights = bytearray((broken / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken / "model.safetensors").write_bytes(weights)
    with pytest.raises(RunError, match=r"model\.safetensors is missing or damaged"):
        load_run(broken)
    with pytest.raises(RunError, match="no ReelTag run"):
        load_run(tmp_path / "nothing")


def test_other_posts_are_refused(run: Path, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "other", seed=5)
    make_split(other, "main", SplitRecipe())
    with pytest.raises(RunError, match="other posts"):
        evaluate_run(run, other, "test", "full", (10,))


@pytest.mark.parametrize("recipe", [SplitRecipe(seed=9), SplitRecipe(ratio=(6, 2, 2))])
def test_another_split_of_the_same_name_is_refused(
    run: Path, tmp_path: Path, recipe: SplitRecipe
) -> None:
    """A split made again would put training posts among the test posts."""
    same = make_dataset(tmp_path / "same")
    make_split(same, "main", recipe)
    with pytest.raises(RunError, match="made again in another way"):
        evaluate_run(run, same, "test", "full", (10,))


def test_a_run_of_an_older_release_is_judged(run: Path, dataset: Dataset, tmp_path: Path) -> None:
    """One whose description lacks what a split's recipe has gained since."""
    older = tmp_path / "older"
    shutil.copytree(run, older)
    described = (older / "run.toml").read_text()
    kept = [line for line in described.splitlines() if not line.startswith(("cold_", "#"))]
    assert len(kept) < len(described.splitlines())
    (older / "run.toml").write_text("\n".join(kept))
    report = evaluate_run(older, dataset, "test", "full", (10,))
    assert report.metrics == evaluate_run(run, dataset, "test", "full", (10,)).metrics


def test_features_can_be_chosen(dataset: Dataset, tmp_path: Path) -> None:
    train_run(dataset, "main", "content-knn", {"features": "textual"}, tmp_path / "a")
    assert list(load_run(tmp_path / "a").manifests) == ["textual-test"]
    with pytest.raises(InputError, match="no feature 'acoustic'"):
        train_run(dataset, "main", "content-knn", {"features": "acoustic"}, tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_run_trained_on_cuda_serves_on_the_cpu(dataset: Dataset, tmp_path: Path) -> None:
    train_run(dataset, "main", "gcn-phr", QUICK, tmp_path / "cuda", device="cuda")
    on_cpu = evaluate_run(tmp_path / "cuda", dataset, "test", "full", (10,), device="cpu")
    on_cuda = evaluate_run(tmp_path / "cuda", dataset, "test", "full", (10,), device="cuda")
    assert on_cpu.metrics == pytest.approx(on_cuda.metrics, abs=1e-3)


@pytest.mark.parametrize("top", ["", "0", "a,b", "-1"])
def test_bad_tops(top: str) -> None:
    with pytest.raises(ConfigError, match="5,10"):
        parse_tops(top)


def test_bad_part() -> None:
    with pytest.raises(ConfigError, match="test or validation"):
        parse_part("train")
