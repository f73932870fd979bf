"""Two real processes train what one trains; one of them dies and the others say so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reeltag import together
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import ConfigError
from reeltag.experiments.train import train_run
from reeltag.models.registry import entry_of
from reeltag.models.trained import TRAINED
from reeltag.storage import read_toml
from tests.conftest import make_dataset
from tests.models.sequenced import with_sequences
from tests.models.test_uhman import with_grid
from tests.training.together_worker import CASES, train_cases

SIDES = ("one", "many")
ROOT = Path(__file__).parents[2]
SHORT = ("gcn-phr", "gcn-phr-drawn", "uhman", "logo", "trumann", "blend")
SETTINGS = {"dim": 6, "batch_size": 50, "epochs": 20, "patience": 20, "optimiser": "sgd",
            "learning_rate": 0.1}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of vectors, one of sequences and one of grids."""
    folder = tmp_path_factory.mktemp("together")
    make_split(make_dataset(folder / "vectors"), "main", SplitRecipe())
    with_sequences(folder / "sequences")
    with_grid(folder / "grids")
    return folder


def started(processes: int, *what: str, **environment: str) -> subprocess.Popen[str]:
    """torchrun with so many processes of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", str(processes), *what]  # fmt: skip
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    variables = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables, cwd=ROOT
    )


def compare(data: Path, out: Path, cases: tuple[str, ...], processes: int) -> None:
    worker = str(ROOT / "tests" / "training" / "together_worker.py")
    process = started(processes, worker, str(data), str(out / "many"), *cases)
    _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told
    train_cases(data, out / "one", list(cases))
    for case in cases:
        one, many = (load_file(out / side / case / "model.safetensors") for side in SIDES)
        assert set(one) == set(many)
        for name, value in one.items():
            torch.testing.assert_close(
                many[name], value, rtol=1e-5, atol=1e-5, msg=lambda m, at=(case, name): f"{at}: {m}"
            )
        first, other = (read_toml(out / side / case / "run.toml") for side in SIDES)
        for metric, number in first["results"]["metrics"].items():
            assert other["results"]["metrics"][metric] == pytest.approx(number, abs=1e-6), case
        reports = [json.loads((out / side / case / "test.json").read_text()) for side in SIDES]
        assert reports[1] == pytest.approx(reports[0], abs=1e-6), case
        assert other["results"]["posts"] == first["results"]["posts"]
        assert not (out / "many" / case / "checkpoint.safetensors").exists()


def test_every_trained_model_has_a_case() -> None:
    tried = {entry_of(name).model for _, name, _ in CASES.values()}
    assert {entry.model for entry in TRAINED.values()} <= tried


def test_two_processes_train_what_one_trains(data: Path, tmp_path: Path) -> None:
    compare(data, tmp_path, SHORT, 2)


@pytest.mark.long
def test_three_processes_train_what_one_trains(data: Path, tmp_path: Path) -> None:
    compare(data, tmp_path, tuple(CASES), 3)


def processes_of(launcher: subprocess.Popen[str]) -> dict[int, int]:
    """Process ids of torchrun's processes by their number."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    found = {}
    for child in children:
        for variable in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            if variable.startswith(b"RANK="):
                found[int(variable[5:])] = int(child)
    return found


def interrupted(data: Path, out: Path, number: int, how: signal.Signals, **environment: str) -> str:
    """Train, send a signal to one process after an epoch or two; what was said on stderr."""
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    launcher = started(
        2, "-m", "reeltag", "train", str(data / "vectors"), "--model", "gcn-phr",
        "--out", str(out), "--device", "cpu", *settings, **environment,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.safetensors").is_file():
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(processes_of(launcher)[number], how)
    _, told = launcher.communicate(timeout=90)
    assert launcher.returncode == 1
    return told


def resumes(data: Path, out: Path, whole: Path) -> None:
    dataset, options = Dataset.open(data / "vectors"), {"device": "cpu"}
    assert (out / "checkpoint.safetensors").is_file()
    assert not (out / "run.toml").exists()
    train_run(dataset, "main", "gcn-phr", SETTINGS, out, resume=True, **options)  # type: ignore[arg-type]
    train_run(dataset, "main", "gcn-phr", SETTINGS, whole, **options)  # type: ignore[arg-type]
    history: list[list[dict[str, Any]]] = [
        json.loads((folder / "history.json").read_text()) for folder in (out, whole)
    ]
    assert len(history[0]) == len(history[1]) == SETTINGS["epochs"]
    for name, value in load_file(whole / "model.safetensors").items():
        own = load_file(out / "model.safetensors")[name]
        torch.testing.assert_close(own, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_dead_process_ends_the_run_which_one_process_resumes(
    data: Path, tmp_path: Path, number: int
) -> None:
    told = interrupted(data, tmp_path / "run", number, signal.SIGKILL)
    assert told.count("reeltag: ") == 1, told
    assert "with --resume" in told
    resumes(data, tmp_path / "run", tmp_path / "whole")


@pytest.mark.long
def test_a_silent_process_ends_the_run(data: Path, tmp_path: Path) -> None:
    told = interrupted(data, tmp_path / "run", 1, signal.SIGSTOP, **{together.TIMEOUT: "5"})
    assert "does not answer" in told


def test_alone_everything_is_ones_own() -> None:
    rows = torch.arange(6).view(3, 2)
    with together.joined("cpu") as device:
        assert (device, together.number(), together.count()) == ("cpu", 0, 1)
        assert together.first()
        assert together.numbers([4, 2]) == [[4, 2]]
        assert [part.tolist() for part in together.gathered(rows)] == [rows.tolist()]
        together.add_up([rows])
        assert rows.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_an_impossible_timeout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", together.TIMEOUT: "soon"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="whole number of seconds"), together.joined("cpu"):
        pass
