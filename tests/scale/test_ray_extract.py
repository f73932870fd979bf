"""Extraction on Ray: the same bytes as here, whatever dies on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.features.job import extract
from reeltag.features.pool import ProcessPool
from reeltag.scale.ray_pool import RayPool
from tests.features.content_contract import ContentContract
from tests.features.pool_workers import PATIENCE, NotingWorker
from tests.features.test_job import content, make_dataset
from tests.features.test_onnx_file import mean_colour
from tests.media.clips import write_clip

NAMES = ("visual-colour", "acoustic-logmel")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips, one of them broken and one that kills whoever reads it, and a network."""
    made = tmp_path_factory.mktemp("clips")
    for n in range(3):
        write_clip(made / f"{n}.mp4", noise=n, frames=10)
    (made / "broken.mp4").write_text("no video")
    shutil.copy(made / "0.mp4", made / "poison.mp4")
    mean_colour(made / "colour.onnx")
    return made


@pytest.fixture
def dataset_of(folder, tmp_path):
    """A dataset of so many posts, under a name."""

    def made(name: str, posts: int = 14) -> Dataset:
        clips = [str(folder / f"{n % 3}.mp4") for n in range(posts)]
        clips[3], clips[7], clips[9] = str(folder / "broken.mp4"), None, str(folder / "poison.mp4")
        return make_dataset(tmp_path / name, clips)

    return made


def noting(pool, log: Path, seconds: float = 0.0):
    """`pool`, leaving a line for each clip it begins."""
    return lambda start, workers, tasks: pool(
        partial(NotingWorker, *start.args, log, seconds), workers, tasks
    )


def run(dataset, folder, executor, workers):
    return extract(
        dataset,
        visual=[f"onnx:{folder / 'colour.onnx'}"],
        acoustic=["logmel"],
        workers=workers,
        clips_a_shard=2,
        pool=executor,
    )


def begun(log: Path) -> list[str]:
    return [line.split()[0] for line in log.read_text().splitlines()] if log.is_file() else []


def test_the_same_bytes_here_on_one_node_and_on_two(cluster, folder, dataset_of, tmp_path):
    here, one, two = (dataset_of(name) for name in ("here", "one", "two"))
    log = tmp_path / "log"
    report = run(here, folder, noting(ProcessPool, log), 2)
    assert (report.clips_read, report.clips_failed) == (13, 2)
    failures = pl.read_parquet(here.path / "features" / NAMES[0] / "failures.parquet")
    assert failures["post"].to_list() == ["p3", "p9"]
    assert failures["reason"][1] == "the worker busy with it died 2 times"
    assert begun(log).count("poison.mp4") == 2
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node)
    run(one, folder, noting(RayPool, log), 1)
    cluster.add_node()
    run(two, folder, noting(RayPool, log), 2)
    for name in NAMES:
        assert content(one, name) == content(here, name)
        assert content(two, name) == content(here, name)


class TestContentOnRay(ContentContract):
    @pytest.fixture
    def pool(self, two_nodes):
        return RayPool

    @pytest.mark.long
    def test_of_a_finished_feature_changed_clips_alone_are_read(self, pool, folder):
        super().test_of_a_finished_feature_changed_clips_alone_are_read(pool, folder)


def test_a_node_and_a_worker_that_are_killed_cost_their_clips_alone(
    two_nodes, folder, dataset_of, tmp_path
):
    whole, dataset = dataset_of("whole", 24), dataset_of("killed", 24)
    run(whole, folder, noting(ProcessPool, tmp_path / "other"), 2)
    log = tmp_path / "log"

    class Struck(RayPool):
        """After 4 answers a worker dies, after 8 a node: not again of a clip it cost a worker."""

        def run(self, tasks):
            under_way, answered = set(), set()
            for task, answer in super().run(tasks):
                yield task, answer
                answered.add(task.post)
                if len(answered) == 4:
                    under_way = {w.task.post for w in self._workers if w.task is not None}
                    os.kill(int(log.read_text().split()[-1]), signal.SIGKILL)
                if len(answered) >= 8 and under_way <= answered and two_nodes.worker_nodes:
                    two_nodes.remove_node(*two_nodes.worker_nodes, allow_graceful=False)

    start = noting(Struck, log, seconds=0.3)
    report = run(dataset, folder, start, 2)
    assert not two_nodes.worker_nodes
    assert report.clips_failed == 2
    twice = len(begun(log)) - 23
    assert 1 <= twice <= 4  # poison's second try, a worker's clip, and those of a node
    for name in NAMES:
        assert content(dataset, name) == content(whole, name)


SCRIPT = """
import sys
from tests.scale.test_ray_extract import noting, run
from pathlib import Path
from reeltag.data.dataset import Dataset
from reeltag.scale.ray_pool import RayPool
run(Dataset.open(sys.argv[1]), Path(sys.argv[2]), noting(RayPool, Path(sys.argv[3]), 0.5), 2)
"""


@pytest.mark.long
def test_a_killed_run_resumes_to_the_same_bytes(two_nodes, folder, dataset_of, tmp_path):
    whole, dataset = dataset_of("whole", 30), dataset_of("killed", 30)
    run(whole, folder, noting(ProcessPool, tmp_path / "other"), 2)
    first, second = tmp_path / "first", tmp_path / "second"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(dataset.path), str(folder), str(first)],
        stderr=subprocess.DEVNULL,
    )
    partial_folder = dataset.path / "features" / f".{NAMES[0]}.partial"
    deadline = time.monotonic() + PATIENCE
    while len(list(partial_folder.glob("*.safetensors"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = len(list(partial_folder.glob("*.safetensors")))
    assert 3 <= done < 15
    run(dataset, folder, noting(RayPool, second), 2)
    again = Counter(begun(second))
    del again["poison.mp4"]
    assert sum(again.values()) <= 28 - 2 * (done - 1)
    for name in NAMES:
        assert content(dataset, name) == content(whole, name)


@pytest.mark.long
def test_the_usual_workers_through_the_command(two_nodes, folder, dataset_of, tmp_path):
    here, there = dataset_of("here"), dataset_of("there")
    for dataset, executor in ((here, "local"), (there, "ray")):
        done = subprocess.run(
            [sys.executable, "-m", "reeltag", "extract", str(dataset.path), "--acoustic", "logmel",
             "--workers", "2", "--executor", executor],
            capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "13 clips read" in done.stdout
    assert content(there, "acoustic-logmel") == content(here, "acoustic-logmel")
