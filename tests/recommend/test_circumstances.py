"""Music, place and hour of the post that is asked about, and of those observed."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import torch

from reeltag import Recommender
from reeltag.data.corpus import Corpus
from reeltag.errors import ConfigError, RunError
from reeltag.experiments.judge import corpus_of
from reeltag.experiments.train import train_run
from reeltag.recommend.posts import seconds_of
from reeltag.storage import read_toml, write_toml
from reeltag.training.run import load_run
from tests.cli.test_commands import reeltag
from tests.models.test_context import sung

NIGHT = 1_704_240_000
"""Wednesday 2024-01-03 00:00."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return sung(tmp_path_factory.mktemp("circumstances") / "data")


@pytest.fixture(scope="module")
def run(corpus: Corpus) -> Path:
    out = corpus.dataset.path.parent / "run"
    train_run(corpus.dataset, "main", "context", {}, out)
    return out


def first(recommender: Recommender, kind: str, **given: object) -> str:
    """The best of the four hashtags that `kind` decides."""
    tags = recommender.recommend(k=12, explain=False, **given)  # type: ignore[arg-type]
    return next(tag.hashtag for tag in tags if tag.hashtag.startswith(kind))


def test_they_decide(run: Path) -> None:
    recommender = Recommender.load(run)
    for n in range(4):
        assert first(recommender, "a", music=f" SONG {2 * n}") == f"a{n}"
        assert first(recommender, "b", place=f"town {n}") == f"b{n}"
        assert first(recommender, "c", at=NIGHT + 6 * 3600 * n) == f"c{n}"
    (here, there) = recommender.answers([None, "u1"], music="song 0", place="town 1", at=NIGHT)
    assert [t.score for t in here.hashtags] == [t.score for t in there.hashtags]


def test_what_is_not_known_is_said(run: Path) -> None:
    recommender = Recommender.load(run)
    warnings = recommender.answer(music="unheard", place="town 1").warnings
    (said,) = [w for w in warnings if "music" in w]
    assert said.startswith("music 'unheard' is not among the 8 known")
    assert not any("place" in w for w in warnings)
    assert not any("music" in w for w in recommender.answer().warnings)


def test_observed_posts_count(run: Path) -> None:
    recommender = Recommender.load(run)
    for _ in range(40):
        recommender.observe(None, None, ["danced"], music="Song 3", place="nowhere", at=NIGHT)
    assert first(recommender, "", music="song 3", at=NIGHT) == "danced"
    assert first(recommender, "", music="song 4", at=NIGHT + 9 * 3600) != "danced"


def test_a_run_keeps_them(run: Path, corpus: Corpus) -> None:
    opened = load_run(run)
    found = corpus_of(opened, corpus.dataset).training
    assert torch.equal(found.posts.contexts, corpus.training.posts.contexts)
    posts = corpus.training.batch(torch.arange(5))
    assert torch.equal(
        opened.model.scored(found.batch(torch.arange(5))), opened.model.scored(posts)
    )


def test_a_run_from_before_there_were_any_opens(corpus: Corpus) -> None:
    out = corpus.dataset.path.parent / "old"
    train_run(corpus.dataset, "main", "popularity", {}, out)
    told = read_toml(out / "run.toml")
    del told["sizes"]["timed"]
    for kind in ("music", "place"):
        (out / f"{kind}.parquet").unlink()
        with pytest.raises(RunError, match=f"{kind}.parquet is missing"):
            load_run(out)
        del told["sha256"][f"{kind}.parquet"]
        write_toml(out / "run.toml", told)
    recommender = Recommender.load(out)
    assert recommender.run.contexts.widths == (0, 0)
    assert not recommender.run.model.sizes.timed
    assert recommender.recommend(music="song 1")


def test_the_house_model_says_what_they_did(tmp_path: Path) -> None:
    corpus = sung(tmp_path / "data", posts=300, kept=["music"])
    settings = {"rounds": 30, "least_rows": 5, "refit": False}
    train_run(corpus.dataset, "main", "reeltag", settings, tmp_path / "run")
    best = Recommender.load(tmp_path / "run").recommend(music="song 2", k=1)[0]
    training = corpus.dataset.posts[corpus.training.posts.rows.numpy()]
    heard = training.filter(pl.col("music") == "song 2")
    carried = heard.filter(pl.col("hashtags").list.contains("a1"))
    assert best.hashtag == "a1"
    (said,) = [reason for reason in best.reasons if reason.kind == "context"]
    assert said.facts == {"kind": "music", "posts": carried.height, "of": heard.height}
    assert said.text == f"{carried.height} of {heard.height} posts with this music carry it"


def test_the_command_takes_them(run: Path) -> None:
    given = ("--music", "song 2", "--place", "here", "--at", "2024-01-03T18:00")
    out, _ = reeltag("recommend", run, "--json", *given)
    told = json.loads(out)
    at = NIGHT + 18 * 3600
    expected = Recommender.load(run).answer(music="song 2", place="here", at=at, explain=False)
    assert told["hashtags"] == [tag.as_json() for tag in expected.hashtags]
    assert told["warnings"] == expected.warnings
    assert len(told["warnings"]) == 1


def test_times_are_read() -> None:
    assert seconds_of("2024-01-03") == NIGHT
    assert seconds_of("2024-01-03T01:00+01:00") == NIGHT
    with pytest.raises(ConfigError, match="'noon', expected one such as"):
        seconds_of("noon")
