"""Every write meets a full disk, a short write and a failing fsync; see `tests.scale.faulty`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scale.faulty import JOBS, KINDS

SOURCE = Path(__file__).with_name("faults.c")


def meet(tmp_path: Path, sample: int) -> dict[str, int]:
    """Run the jobs with `sample` faults of each kind, 0: with all."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: faults.c stands between the jobs and the disk")
    library = tmp_path / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    command = [sys.executable, "-m", "tests.scale.faulty", library, tmp_path / "jobs", str(sample)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    met: dict[str, int] = json.loads(done.stdout)
    for name in JOBS:
        for kind in set(KINDS) - {"reserve"}:  # which only `extract` asks for
            assert met[f"{name}: {kind}"], f"{name} met no fault of kind {kind}"
    assert met["extract: reserve"]
    return met


def test_some_writes_fail(tmp_path: Path) -> None:
    meet(tmp_path, 1)


@pytest.mark.long
def test_each_write_fails(tmp_path: Path) -> None:
    assert sum(meet(tmp_path, 0).values()) > 300
