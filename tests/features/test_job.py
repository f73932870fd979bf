"""The extraction job: what it stores, what it records, and that a kill changes nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.features.pool_workers import PATIENCE
from tests.features.test_onnx_file import mean_colour
from tests.media.clips import write_clip

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError, ReelTagError
from reeltag.features import pool
from reeltag.features.job import extract
from reeltag.features.pool import ProcessPool, Task
from reeltag.features.single import features_of
from reeltag.features.worker import ClipWorker
from reeltag.media.decode import Decoder

CAPTIONS = ["morning run", "", "dinner", "跳舞", "", "goal"]


def make_dataset(path: Path, clips: list[str | None]) -> Dataset:
    """A dataset with a post for each of `clips`."""
    posts = pl.DataFrame(
        {
            "post": [f"p{i}" for i in range(len(clips))],
            "caption": [CAPTIONS[i % len(CAPTIONS)] for i in range(len(clips))],
            "hashtags": [["a"]] * len(clips),
            "clip": pl.Series(clips, dtype=pl.Utf8),
        }
    )
    return Dataset.create(path, posts, source={"clip_root": str(path.parent)})


@pytest.fixture
def dataset(tmp_path, clips):
    names = ["usual", "video-only", None, "broken", "audio-only", "one-frame"]
    return make_dataset(tmp_path / "data", [n and str(clips[n]) for n in names])


@pytest.fixture(scope="session")
def colour(tmp_path_factory):
    """A visual extractor that is fast."""
    return f"onnx:{mean_colour(tmp_path_factory.mktemp('model') / 'colour.onnx')}"


def content(dataset: Dataset, name: str) -> dict[str, bytes]:
    folder = dataset.path / "features" / name
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_every_kind_is_stored_with_what_is_missing(dataset):
    report = extract(
        dataset,
        visual=["efficientnet-lite1", "efficientnet-lite1-regions"],
        acoustic=["logmel", "spectrogram"],
        textual=["tokens", "sif"],
        workers=1,
        clips_a_shard=2,
    )
    assert report.clips_read == 5
    assert report.clips_failed == 1
    assert {f.name: (f.posts, f.present, f.failed, f.skipped) for f in report.features} == {
        "visual-efficientnet-lite1": (6, 3, 1, False),
        "visual-efficientnet-lite1-regions": (6, 3, 1, False),
        "acoustic-logmel": (6, 3, 1, False),
        "acoustic-spectrogram": (6, 3, 1, False),
        "textual-tokens": (6, 4, 0, False),
        "textual-sif": (6, 3, 0, False),
    }
    regions = dataset.feature("visual-efficientnet-lite1-regions")
    assert regions.present.tolist() == [True, True, False, False, False, True]
    assert regions.row(0).shape == (8, 64, 1280)
    assert regions.row(5).shape == (1, 64, 1280)
    assert regions.row(3).shape == (0, 64, 1280)
    assert dataset.feature("acoustic-logmel").present.tolist() == [1, 0, 0, 0, 1, 1]
    assert not dataset.feature("acoustic-logmel").row(1).any()
    for name in dataset.features:
        dataset.feature(name).check()
    failures = pl.read_parquet(dataset.path / "features/acoustic-logmel/failures.parquet")
    assert failures["post"].to_list() == ["p3"]
    assert "not" in failures["reason"][0]
    assert not list((dataset.path / "features").glob(".*"))


def test_one_clip_gives_what_the_job_stored(dataset, clips):
    extract(
        dataset,
        visual=["efficientnet-lite1-frames"],
        acoustic=["logmel"],
        textual=["minilm", "tokens"],
        workers=1,
    )
    manifests = list(dataset.features.values())
    with Decoder() as decoder:
        found = features_of(manifests, clips["usual"], CAPTIONS[0], decoder=decoder)
    assert set(found.values) == set(dataset.features)
    for name, value in found.values.items():
        np.testing.assert_allclose(value, dataset.feature(name).row(0), atol=1e-5)
    assert found.frames.shape == (8, 240, 240, 3)
    assert len(found.frame_times) == 8
    assert found.warnings == []
    assert set(found.timing_ms) == {"decode", "features"}


def test_one_clip_without_this_or_that(made, clips):
    from dataclasses import replace

    logmel = made("acoustic", "logmel").manifest()
    tokens = made("textual", "tokens").manifest()
    columns = replace(
        logmel, name="visual-columns", modality="visual", extractor="columns", source="columns"
    )
    found = features_of([logmel, tokens, columns], clips["video-only"], "")
    assert set(found.values.values()) == {None}
    assert found.frames.shape == (8, 96, 96, 3)
    assert found.warnings == [
        "visual-columns was made from table columns and cannot be read off a clip; "
        "scored with that modality missing",
        "no audio stream",
    ]
    found = features_of([logmel], clips["broken"], None)
    assert found.values == {logmel.name: None}
    assert found.warnings[0].startswith("the clip was not read: it")
    found = features_of([logmel, tokens], None, "run")
    assert found.values[logmel.name] is None
    assert found.values[tokens.name] is not None


def test_what_is_there_is_skipped_and_another_version_is_made_anew(dataset, colour, monkeypatch):
    extract(dataset, visual=[colour], textual=["tokens"], workers=1)
    before = content(dataset, "visual-colour")
    report = extract(dataset, visual=[colour], textual=["tokens"], pool=None)
    assert [f.skipped for f in report.features] == [True, True]
    assert content(dataset, "visual-colour") == before
    monkeypatch.setattr("reeltag.features.textual.Tokens.version", "2")
    report = extract(dataset, textual=["tokens"])
    assert not report.features[0].skipped
    assert dataset.features["textual-tokens"].version == "2"


def test_no_post_has_the_modality(tmp_path, colour):
    dataset = make_dataset(tmp_path / "data", [None, None])
    extract(dataset, visual=[colour, "efficientnet-lite1-regions"])
    assert not dataset.feature("visual-colour").present.any()
    assert dataset.feature("visual-efficientnet-lite1-regions").values.shape == (0, 64, 1280)


class Inline(AbstractContextManager):
    """A pool that reads the clips here, last one first."""

    def __init__(self, start, workers, tasks):
        self.worker = start()

    def __exit__(self, *fault):
        self.worker.close()

    def run(self, tasks):
        for task in reversed(list(tasks)):
            yield task, self.worker(task.path, task.names)


def test_another_executor_gives_the_same_bytes(tmp_path, dataset, colour):
    shutil.copytree(dataset.path, tmp_path / "other")
    other = Dataset.open(tmp_path / "other")
    extract(dataset, visual=[colour], acoustic=["logmel"], workers=2, clips_a_shard=2)
    extract(other, visual=[colour], acoustic=["logmel"], clips_a_shard=2, pool=Inline)
    for name in ("visual-colour", "acoustic-logmel"):
        assert content(other, name) == content(dataset, name)


def test_nothing_named(dataset):
    with pytest.raises(ConfigError, match="No extractor was named"):
        extract(dataset)


KILLED = """
import sys
from reeltag.data.dataset import Dataset
from reeltag.features.job import extract
if __name__ == "__main__":
    extract(Dataset.open(sys.argv[1]), visual=[sys.argv[2]], acoustic=["spectrogram"],
            workers=1, clips_a_shard=2)
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_job_resumes_to_the_same_bytes(tmp_path, colour, sign):
    clips = [str(write_clip(tmp_path / f"{i}.mp4", noise=i, frames=10)) for i in range(3)]
    (tmp_path / "bad.mp4").write_text("no video")
    order = [clips[0], str(tmp_path / "bad.mp4"), None, clips[1], clips[2]] + clips * 6
    dataset = make_dataset(tmp_path / "data", order)
    shutil.copytree(dataset.path, tmp_path / "whole")
    whole = Dataset.open(tmp_path / "whole")
    extract(whole, visual=[colour], acoustic=["spectrogram"], workers=2, clips_a_shard=2)

    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, str(script), str(dataset.path), colour], stderr=subprocess.DEVNULL
    )
    partial = dataset.path / "features" / ".visual-colour.partial"
    deadline = time.monotonic() + PATIENCE
    while len(list(partial.glob("*.safetensors"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(sign)
    assert process.wait(PATIENCE) != 0
    assert dataset.features == {}
    done = {p: p.stat().st_mtime_ns for p in partial.glob("0*.safetensors")}
    assert 3 <= len(done) < 11

    tried = []
    original = ProcessPool.run
    patch = pytest.MonkeyPatch()

    def run(self, tasks):
        return original(self, (tried.append(t.post) or t for t in tasks))

    patch.setattr(ProcessPool, "run", run)
    try:
        extract(dataset, visual=[colour], acoustic=["spectrogram"], workers=1, clips_a_shard=2)
    finally:
        patch.undo()
    assert len(tried) <= 22 - 2 * (len(done) - 1)  # the last shard may lack one of the features
    for name in ("visual-colour", "acoustic-spectrogram"):
        assert content(dataset, name) == content(whole, name)


def test_a_worker_that_dies_is_replaced_and_its_clip_tried_again(made, clips):
    manifest = made("acoustic", "logmel").manifest()
    tasks = [Task(i, clips["usual"], (manifest.name,)) for i in range(4)]
    with ProcessPool(partial(ClipWorker, [manifest]), 1) as workers:
        answers = {}
        for task, answer in workers.run(tasks):
            answers[task.post] = answer
            if task.post == 0:
                os.kill(workers.pids[0], signal.SIGKILL)
    assert sorted(answers) == [0, 1, 2, 3]
    assert all(isinstance(answer[1], dict) for answer in answers.values())


def test_a_clip_that_kills_its_worker_twice_is_given_up(made, clips, monkeypatch):
    manifest = made("acoustic", "logmel").manifest()
    give = ProcessPool._give

    def give_and_kill(self, worker, task):
        give(self, worker, task)
        if task.post == 1:
            worker.process.kill()

    monkeypatch.setattr(ProcessPool, "_give", give_and_kill)
    with ProcessPool(partial(ClipWorker, [manifest]), 1) as workers:
        tasks = [Task(i, clips["usual"], (manifest.name,)) for i in range(3)]
        answers = {task.post: answer for task, answer in workers.run(tasks)}
    assert "died 2 times" in answers[1]
    assert isinstance(answers[0][1], dict)
    assert isinstance(answers[2][1], dict)


def test_workers_that_cannot_start_end_the_job(made, clips, monkeypatch):
    manifest = made("acoustic", "logmel").manifest()
    monkeypatch.setattr(pool, "serve", os._exit)
    with (
        ProcessPool(partial(ClipWorker, [manifest]), 1) as workers,
        pytest.raises(ReelTagError, match="do not start"),
    ):
        list(workers.run([Task(0, clips["usual"], (manifest.name,))]))
