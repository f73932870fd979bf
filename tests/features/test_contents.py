"""Features follow the contents they were read from, whatever names and times say."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket

import numpy as np
import pytest
from tests.features.content_contract import ContentContract, replace
from tests.features.test_job import content, make_dataset

from reeltag.data.dataset import Dataset
from reeltag.features import job
from reeltag.features.contents import NOTHING, ClipContents, caption_contents, clip_content
from reeltag.features.job import extract
from reeltag.features.pool import ProcessPool
from reeltag.features.textual import Tokens
from reeltag.media.limits import Limits


class TestOnProcesses(ContentContract):
    @pytest.fixture
    def pool(self):
        return ProcessPool


class Here:
    """A pool whose one worker is this process."""

    def __init__(self, start, workers, tasks):
        self.start = start

    def __enter__(self):
        self.worker = self.start().__enter__()
        return self

    def __exit__(self, *fault):
        self.worker.__exit__(*fault)

    def run(self, tasks):
        for task in tasks:
            yield task, self.worker(*task.arguments)


class TestHere(ContentContract):
    @pytest.fixture
    def pool(self):
        return Here

    def test_reading_changed_clips_may_be_interrupted(self, pool, folder):
        dataset = self.dataset(folder)
        self.run(pool, dataset)
        for number in (0, 5, 9):
            replace(folder, number)
        assert self.run(pool, dataset, stop=2)[0] is None
        assert dataset.feature("visual-colour").present.sum() == 9  # it is as it was
        report, begun = self.run(pool, dataset)
        assert 1 <= len(begun) <= 2
        assert report.features[0].changed == 3
        assert content(dataset, "visual-colour") == self.expected(folder)

    def test_unchanged_clips_are_not_read(self, pool, folder):
        dataset = self.dataset(folder)
        self.run(pool, dataset)
        before = content(dataset, "visual-colour")
        for file in folder.glob("*.mp4"):  # moved here from elsewhere
            shutil.copy(file, folder / "copy")
            (folder / "copy").rename(file)
        report, begun = self.run(pool, dataset)
        assert begun == []
        assert report.features[0].skipped
        for file in folder.glob("*.mp4"):
            file.unlink()
        assert self.run(pool, dataset)[0].features[0].skipped
        assert content(dataset, "visual-colour") == before

    def test_a_clip_that_was_missing_is_read_once_it_is_there(self, pool, folder):
        (folder / "6.mp4").rename(folder / "away")
        dataset = self.dataset(folder)
        self.run(pool, dataset)
        assert not dataset.feature("visual-colour").present[6]
        (folder / "away").rename(folder / "6.mp4")
        assert self.run(pool, dataset)[1] == ["6.mp4"]
        assert content(dataset, "visual-colour") == self.expected(folder)

    def test_one_feature_has_changed_and_another_is_new(self, pool, folder):
        dataset, colour = self.dataset(folder), f"onnx:{folder / 'colour.onnx'}"
        self.run(pool, dataset)
        replace(folder, 2)
        report = extract(dataset, visual=[colour, "efficientnet-lite1"], workers=1, clips_a_shard=4)
        assert [(f.name, f.changed) for f in report.features] == [
            ("visual-colour", 1), ("visual-efficientnet-lite1", 0)
        ]  # fmt: skip
        assert report.clips_read == 10
        assert content(dataset, "visual-colour") == self.expected(folder)

    def test_what_an_earlier_release_made_counts_as_unchanged(self, pool, folder):
        dataset = self.dataset(folder)
        self.run(pool, dataset)
        dataset.add_feature(dataset.feature("visual-colour"))  # which leaves out the contents
        replace(folder, 2)
        assert self.run(pool, dataset)[0].features[0].skipped


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """An extraction of captions whose parts are all there."""
    dataset = make_dataset(tmp_path / "data", [None] * 6)
    monkeypatch.setattr(job, "CAPTIONS_A_SHARD", 2)
    monkeypatch.setattr(job.Shards, "assemble", lambda self: pytest.fail("stop"))
    with pytest.raises(pytest.fail.Exception):
        extract(dataset, textual=["tokens"])
    monkeypatch.undo()
    monkeypatch.setattr(job, "CAPTIONS_A_SHARD", 2)
    return dataset


def test_parts_of_the_same_captions_are_kept(interrupted, monkeypatch):
    monkeypatch.setattr(Tokens, "extract", lambda *_: pytest.fail("all its parts are there"))
    assert extract(interrupted, textual=["tokens"]).features[0].discarded == 0


@pytest.mark.parametrize("other", ["captions", "extractor", "size"])
def test_parts_made_from_something_else_are_not(interrupted, tmp_path, monkeypatch, other):
    dataset = interrupted
    if other == "captions":  # of the last two posts
        posts = dataset.posts.with_columns(
            caption=dataset.posts["caption"].str.replace("goal", "0")
        )
        dataset = Dataset.create(tmp_path / "other", posts, source={})
        shutil.copytree(interrupted.path / "features", dataset.path / "features")
    if other == "extractor":
        monkeypatch.setattr(Tokens, "version", "2")
    if other == "size":
        monkeypatch.setattr(job, "CAPTIONS_A_SHARD", 3)
    (made,) = extract(dataset, textual=["tokens"]).features
    assert made.discarded == {"captions": 1, "extractor": 2, "size": 2}[other]
    assert not made.skipped
    assert not list((dataset.path / "features").glob(".*"))


def test_contents(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"a clip")
    assert clip_content(file, Limits()) == hashlib.sha256(b"a clip").digest()
    found = caption_contents(["run", "", "跳舞"])
    assert found.shape == (3, 32)
    assert found[2].tobytes() == hashlib.sha256("跳舞".encode()).digest()
    dataset = make_dataset(
        tmp_path / "data", [str(file), str(tmp_path / "absent"), None, str(file)]
    )
    clips = ClipContents(dataset, Limits())
    rows = np.array([0, 1, 3])
    assert [row.tobytes() for row in clips(rows)] == [
        clip_content(file, Limits()), NOTHING, clip_content(file, Limits())
    ]  # fmt: skip
    file.unlink()
    assert (clips(rows[:1])[0] == clips(rows)[2]).all()  # hashed once


def test_what_is_no_clip_has_no_content(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate((1 << 20) + 1)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("pipe", "socket", "absent", ".", "large", "nul\0l", "long" * 999):
            assert clip_content(tmp_path / name, Limits(max_file_mb=1)) == NOTHING, name
