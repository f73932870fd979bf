"""Jobs whose every write fails once: `LD_PRELOAD=SHIM python -m tests.scale.faulty SHIM FOLDER N`.

For each job and each kind of fault, the calls of that kind below the job's folder are counted;
then each (or N of them, drawn by a seed; 0: all) fails in turn, as on a full or broken disk:

    the error names a file of the job and says what to do
    what stands there under a final name is what stood there before, or the whole new one
    the same job succeeds afterwards, and leaves what a job leaves that met no fault

Prints how many faults were met, by job and kind, as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from reeltag.data.dataset import Dataset
from reeltag.data.importers import import_posts
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import WriteError
from reeltag.experiments.export import export_run
from reeltag.experiments.train import train_run
from reeltag.features.backbones.cache import keep_model
from reeltag.features.backbones.word_vectors import keep_vectors
from reeltag.features.job import extract
from tests.artefacts.make import SETTINGS, make_dataset
from tests.scale.power import EMPTY, content_of

KINDS = {"write": 1, "short": 2, "fsync": 4, "create": 8, "rename": 16, "reserve": 32}


@dataclass(frozen=True)
class Job:
    """`prepare` fills a folder, `run` is what meets the faults; `again` is the same once more."""

    prepare: Callable[[Path], object]
    run: Callable[[Path], object]
    again: Callable[[Path], object] | None = None


def _posts(folder: Path) -> None:
    rows = [
        {"id": f"p{n}", "who": f"u{n % 3}", "text": f"a #day{n % 4}", "x": n, "tags": ["a"]}
        for n in range(40)
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "posts.jsonl").write_text("\n".join([*lines, "no post"]))


def _import(folder: Path, replace: bool = False) -> None:
    import_posts(
        folder / "posts.jsonl",
        folder / "data",
        mapping={"post": "id", "user": "who", "caption": "text", "hashtags": "tags"},
        features={"visual": ["x"]},
        rejects=folder / "rejects.jsonl",
        replace=replace,
    )


def _train(folder: Path, resume: bool = False) -> None:
    data = Dataset.open(folder / "dataset")
    settings = {**SETTINGS["gcn-phr"], "epochs": 1}
    train_run(data, "main", "gcn-phr", settings, folder / "run", device="cpu", resume=resume)


def _export(folder: Path, replace: bool = False) -> None:
    export_run(folder / "run", folder / "out", replace=replace)


def _files(folder: Path) -> None:
    (folder / "words.vec").write_text("2 3\nsea 1 2 3\ncity 4 5 6\n")
    (folder / "model.onnx").write_bytes(b"any file is kept")


def _keep(folder: Path) -> None:
    os.environ["REELTAG_CACHE"] = str(folder / "cache")
    keep_vectors(folder / "words.vec")
    keep_model(folder / "model.onnx")


def _dataset(folder: Path) -> None:
    make_dataset(folder / "dataset")


JOBS = {
    "import": Job(_posts, _import),
    "import --replace": Job(
        lambda folder: (_posts(folder), _import(folder)), lambda folder: _import(folder, True)
    ),
    "split": Job(
        _dataset, lambda f: make_split(Dataset.open(f / "dataset"), "new", SplitRecipe(seed=5))
    ),
    "extract": Job(_dataset, lambda f: extract(Dataset.open(f / "dataset"), textual=["tokens"])),
    "keep": Job(_files, _keep),
    "train": Job(_dataset, _train, lambda folder: _train(folder, True)),
    "export": Job(lambda folder: (_dataset(folder), _train(folder)), _export),
}


class Disk:
    """The library that stands between this process and the disk."""

    def __init__(self, library: str) -> None:
        self._calls = ctypes.CDLL(library)
        self._calls.fault_seen.restype = ctypes.c_long

    def meets(self, folder: Path, kind: int, turn: int, work: Callable[[Path], object]) -> int:
        """Do the work with a fault at the given turn (-1: none); how many calls there were."""
        self._calls.fault_watch(str(folder).encode())
        self._calls.fault_arm(kind, ctypes.c_long(turn))
        try:
            work(folder)
        finally:
            seen = int(self._calls.fault_seen())
            self._calls.fault_disarm()
        return seen


def main(library: str, root: Path, sample: int) -> dict[str, int]:
    """Let every job meet every fault."""
    torch.set_num_threads(1)
    disk, met = Disk(library), {}
    for name, job in JOBS.items():
        before = root / "before"
        before.mkdir(parents=True)
        job.prepare(before)
        for kind, code in KINDS.items():
            whole = shutil.copytree(before, root / "work")
            calls = disk.meets(whole, code, -1, job.run)
            expected = content_of(whole)
            shutil.rmtree(whole)
            turns = list(range(calls))
            if sample and calls > sample:
                turns = random.Random(f"{name} {kind}").sample(turns, sample)
            for turn in turns:
                folder = shutil.copytree(before, root / "work")
                _check(disk, job, folder, code, turn, content_of(before), expected)
                shutil.rmtree(folder)
            met[f"{name}: {kind}"] = len(turns)
        shutil.rmtree(before)
    return met


def _check(
    disk: Disk,
    job: Job,
    folder: Path,
    code: int,
    turn: int,
    before: dict[str, str],
    expected: dict[str, str],
) -> None:
    where = f"fault {code} at call {turn}"
    with pytest.raises(WriteError, match="same command again") as caught:
        disk.meets(folder, code, turn, job.run)
    assert caught.value.file.is_relative_to(folder), (where, caught.value)
    assert "reeltag-tmp" not in str(caught.value), (where, caught.value)
    for name, digest in content_of(folder).items():
        whole = before.get(name), expected.get(name)
        unfinished = "checkpoint" in name or ".partial" in name or digest == EMPTY
        assert digest in whole or unfinished, (where, name)
        assert "reeltag-tmp" not in name, (where, name)
    (job.again or job.run)(folder)
    assert content_of(folder) == expected, where


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
