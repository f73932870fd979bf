"""Recommendations for many posts: the ranking that is judged, in parts, killed and resumed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError, InputError, ReelTagError, RunError
from reeltag.evaluation.protocols import judge
from reeltag.experiments.judge import corpus_of
from reeltag.experiments.train import train_run
from reeltag.features.pool_rules import Pool, Worker
from reeltag.recommend import batch
from reeltag.recommend.batch import BlockWorker, parse_on, recommend_batch
from reeltag.storage import read_toml, sha256_of
from reeltag.training.run import load_run
from tests.cli.test_commands import reeltag
from tests.conftest import make_dataset


class Here(Pool):
    """A pool of one worker, which is this process."""

    def _cores(self):
        return 1

    def _start(self):
        self.worker, self.told = self._start_worker(), ("ready", None)
        return Worker()

    def _give(self, worker, task):
        self.told = "values", self.worker(*task.arguments)

    def _wait(self):
        return [0]

    def _hear(self, worker):
        return self.told

    def _end(self, worker):
        return


@pytest.fixture(scope="module")
def knn(dataset, tmp_path_factory) -> Path:
    """A run that looks up its training posts."""
    out = tmp_path_factory.mktemp("runs") / "knn"
    train_run(dataset, "main", "content-knn", {}, out)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(batch, "BLOCK_POSTS", 50)


def test_test_posts_get_the_ranking_that_is_judged(dataset, knn, tmp_path):
    described = recommend_batch(dataset, knn, tmp_path / "out", on="test", k=5, pool=Here)
    found = pl.read_parquet(tmp_path / "out" / "*.parquet")
    run = load_run(knn, "cpu")
    corpus = corpus_of(run, dataset)
    posts = corpus.part("test")
    judged = judge(run.model, corpus, posts, tops=(5,))
    ids = np.array(dataset.posts["post"].gather(posts.rows[judged.posts].numpy()))
    kept = found.filter(pl.col("post").is_in(ids.tolist()))
    assert kept["post"].to_list() == np.repeat(ids, 5).tolist()
    names = np.array(run.hashtags.names)[judged.ranked.numpy()]
    assert kept["hashtag"].to_list() == names.ravel().tolist()
    assert found["rank"].to_list() == [1, 2, 3, 4, 5] * described["posts"]
    assert found.schema == {
        "post": pl.Utf8, "rank": pl.Int32, "hashtag": pl.Utf8, "score": pl.Float32
    }  # fmt: skip


def test_all_posts_in_parts_and_none_finds_itself(dataset, knn, tmp_path):
    described = recommend_batch(dataset, knn, tmp_path / "out", k=3, pool=Here)
    assert described["posts"] == 240
    assert list(described["sha256"]) == [f"part-{n:05d}.parquet" for n in range(5)]
    for name, digest in described["sha256"].items():
        assert sha256_of(tmp_path / "out" / name) == digest
    found = pl.read_parquet(tmp_path / "out" / "*.parquet")
    assert found["post"].unique(maintain_order=True).to_list() == dataset.posts["post"].to_list()
    # A training post is scored as if it were not in the training part.
    corpus, run = corpus_of(load_run(knn, "cpu"), dataset), load_run(knn, "cpu")
    row = int(corpus.split.rows("train")[0])
    model_input = corpus.training.batch(corpus.training.posts.rows.eq(row).nonzero()[0])
    best = run.model.scored(model_input).max()
    first = found.filter(pl.col("post") == dataset.posts["post"][row])["score"][0]
    assert first == pytest.approx(float(best), rel=1e-6)


def test_what_is_killed_goes_on_to_the_same_bytes(dataset, knn, tmp_path):
    recommend_batch(dataset, knn, tmp_path / "whole", pool=Here)

    class Killed(Here):
        def run(self, tasks):
            for number, answer in enumerate(super().run(tasks)):
                if number == 2:
                    raise KeyboardInterrupt
                yield answer

    with pytest.raises(KeyboardInterrupt):
        recommend_batch(dataset, knn, tmp_path / "out", pool=Killed)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "part-00000.parquet", "part-00001.parquet", "plan.toml"
    ]  # fmt: skip
    seen: list[int] = []

    class Counted(Here):
        def run(self, tasks):
            for task, answer in super().run(tasks):
                seen.append(task.number)
                yield task, answer

    described = recommend_batch(dataset, knn, tmp_path / "out", pool=Counted)
    assert seen == [2, 3, 4]
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert recommend_batch(dataset, knn, tmp_path / "out", pool=None) == described  # it is there


def test_a_finished_part_that_was_damaged_is_made_again(dataset, knn, tmp_path, capsys):
    out = tmp_path / "out"
    described, whole = recommend_batch(dataset, knn, out, pool=Here), content(out)
    part = out / "part-00002.parquet"
    part.write_bytes(b"\0" + part.read_bytes()[1:])
    (out / "part-00004.parquet").unlink()
    assert recommend_batch(dataset, knn, out, pool=Here) == described
    assert content(out) == whole
    assert "part-00002.parquet is missing or damaged" in capsys.readouterr().err


def test_posts_the_run_never_saw(dataset, knn, tmp_path):
    other = make_dataset(tmp_path / "other", posts=60, seed=1)
    recommend_batch(other, knn, tmp_path / "out", pool=Here)
    assert pl.read_parquet(tmp_path / "out" / "*.parquet")["post"].n_unique() == 60
    with pytest.raises(RunError, match="trained on other posts"):
        recommend_batch(other, knn, tmp_path / "part", on="test", pool=Here)


def test_what_cannot_be_is_refused(dataset, knn, tmp_path):
    with pytest.raises(ConfigError, match="k=0"):
        recommend_batch(dataset, knn, tmp_path / "out", k=0)
    with pytest.raises(ConfigError, match="'train', expected one of all, test, validation"):
        parse_on("train")
    recommend_batch(dataset, knn, tmp_path / "out", on="test", pool=Here)
    with pytest.raises(InputError, match="another run, for other posts"):
        recommend_batch(dataset, knn, tmp_path / "out", on="validation", pool=Here)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        recommend_batch(dataset, knn, tmp_path / "full", pool=Here)


def test_a_block_that_fails_ends_it_with_the_reason(dataset, knn, tmp_path):
    class Failing(Here):
        def _give(self, worker, task):
            self.told = "failed", "RuntimeError: no memory"

    with pytest.raises(ReelTagError, match="Posts 0 to 49 could not be scored: RuntimeError"):
        recommend_batch(dataset, knn, tmp_path / "out", pool=Failing)


def test_the_command(dataset, knn, tmp_path):
    out, _ = reeltag(
        "recommend-batch", dataset.path, knn, "--on", "validation", "--out", tmp_path / "out",
        "--workers", 1, "--json",
    )  # fmt: skip
    told = json.loads(out)
    assert told == read_toml(tmp_path / "out" / "recommendations.toml")
    worker = partial(BlockWorker, dataset.path, knn, "validation", 10, "cpu")()
    rows = corpus_of(load_run(knn, "cpu"), Dataset.open(dataset.path)).split.rows("validation")
    scores = pl.read_parquet(tmp_path / "out" / "*.parquet")["score"].to_numpy()
    np.testing.assert_array_equal(scores, worker(rows)[1].ravel())
