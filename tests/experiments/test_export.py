"""An exported run is plain files that say what they are."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from reeltag.data.dataset import Dataset
from reeltag.errors import InputError, RunError
from reeltag.experiments.export import export_run
from reeltag.experiments.train import train_run
from reeltag.training.run import load_run


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "gcn"
    train_run(dataset, "main", "gcn-phr", {"epochs": 1, "dim": 4}, out, device="cpu")
    return out


def test_what_is_exported_is_the_run(run: Path, tmp_path: Path) -> None:
    about = export_run(run, tmp_path / "out")
    opened = load_run(run, "cpu")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert set(stored) == set(about["tensors"]["model.safetensors"])
    for name, tensor in opened.model.tensors().items():
        assert torch.equal(stored[name], tensor)
        assert about["tensors"]["model.safetensors"][name]["shape"] == list(tensor.shape)
    names = pl.read_parquet(tmp_path / "out" / "hashtags.parquet")["name"]
    assert names.to_list() == opened.hashtags.names
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == about
    for name, digest in about["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*about["sha256"], "run.json"}


def test_the_card_reads_it_without_this_package(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    code += "import sys\nassert 'reeltag' not in sys.modules\nprint(len(tensors), hashtags[0])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    opened = load_run(run, "cpu")
    assert done.stdout.split() == [str(len(opened.model.tensors())), opened.hashtags.names[0]]


def test_only_exports_are_replaced(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "out")
    with pytest.raises(InputError, match="exists already"):
        export_run(run, tmp_path / "out")
    export_run(run, tmp_path / "out", replace=True)
    (tmp_path / "photos").mkdir()
    with pytest.raises(RunError, match="not replaced"):
        export_run(run, tmp_path / "photos", replace=True)
    with pytest.raises(RunError, match="no ReelTag run"):
        export_run(tmp_path / "nothing", tmp_path / "other")
