"""Music and place as ids: how they are compared, counted, carried, stored; and the clock."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from reeltag.data.batches import NO_TIME, single_post
from reeltag.data.contexts import Contexts, clock_of
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import RunError
from reeltag.models.contract import Sizes

MUSIC = ["Waltz", " waltz ", "STRASSE", "straße", "once", None, "  ", "", "held out", "Held Out"]
PARTS = ["train"] * 8 + ["validation", "test"]


@pytest.fixture
def made(tmp_path: Path) -> Corpus:
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(10)],
            "hashtags": [["sea"]] * 10,
            "music": MUSIC,
            "place": ["here"] * 3 + [None] * 6 + ["HERE"],
            "part": PARTS,
        }
    )
    dataset = Dataset.create(tmp_path / "data", posts, source={"format": "generated"})
    make_split(dataset, "main", SplitRecipe(by="column"))
    return open_corpus(dataset, "main")


def test_two_training_posts_make_it_known_by_however_they_write_it(made: Corpus) -> None:
    assert made.contexts.music.names == ["strasse", "waltz"]
    assert made.contexts.place.names == ["here"]
    assert Sizes.of(made.training).contexts == made.contexts.widths == (2, 1)
    assert not Sizes.of(made.training).timed
    found = made.training.posts.contexts
    assert found[:, 0].tolist() == [1, 1, 0, 0, -1, -1, -1, -1]
    assert found[:, 1].tolist() == [0] * 3 + [-1] * 5
    assert made.part("test").contexts.tolist() == [[-1, 0]]


def test_ids_go_where_posts_go(made: Corpus) -> None:
    index = torch.tensor([4, 0, 2])
    expected = made.training.posts.contexts[index]
    assert torch.equal(made.training.posts.select(index).contexts, expected)
    assert torch.equal(made.training.batch(index).contexts, expected)
    assert torch.equal(made.training.posts.to("cpu").select(index).contexts, expected)
    assert torch.equal(made.training.batch(index).to("cpu").contexts, expected)
    assert single_post(0, {}, {}, contexts=expected[:1]).contexts.tolist() == [[-1, -1]]


def test_who_leaves_them_out_knows_none(made: Corpus) -> None:
    assert single_post(0, {}, {}).contexts.tolist() == [[-1, -1]]
    posts = made.training.posts
    assert (replace(posts, contexts=torch.zeros(0, 2)).contexts == -1).all()
    assert Contexts().ids(made.posts).unique().tolist() == [-1]


def test_a_last_fit_counts_them_anew(made: Corpus) -> None:
    posts = made.dataset.posts.with_columns(music=pl.Series([*MUSIC[:4], *["once"] * 6]))
    dataset = Dataset.create(made.dataset.path.parent / "b", posts, source={"format": "generated"})
    make_split(dataset, "main", SplitRecipe(by="column"))
    joined = open_corpus(dataset, "main").with_validation()
    assert joined.contexts.music.counts.tolist() == [5, 2, 2]


def test_they_are_stored(made: Corpus, tmp_path: Path) -> None:
    made.contexts.save(tmp_path)
    read = Contexts.load(tmp_path)
    assert torch.equal(read.ids(made.posts), made.contexts.ids(made.posts))
    assert Contexts.load(tmp_path / "elsewhere").widths == (0, 0)
    (tmp_path / "music.parquet").write_bytes(b"no table")
    with pytest.raises(RunError, match=r"music\.parquet"):
        Contexts.load(tmp_path)


def test_clock_of_known_moments() -> None:
    moments = [dt.datetime(2024, 2, 29, 23, 59, tzinfo=dt.UTC), dt.datetime(1969, 12, 31, 1,
               tzinfo=dt.UTC)]  # fmt: skip
    times = torch.tensor([*(int(m.timestamp()) for m in moments), NO_TIME])
    hour, weekday = clock_of(times)
    assert hour.tolist() == [23, 1, 24]
    assert weekday.tolist() == [3, 2, 7]
