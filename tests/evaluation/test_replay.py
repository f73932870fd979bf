"""Replay: what a model says of a post after it has observed the ones before."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from reeltag.data.corpus import Corpus, TrainingSet, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.evaluation.evaluate import evaluate
from reeltag.evaluation.protocols import judge
from reeltag.models.contract import Model, Sizes
from reeltag.models.registry import build
from tests.evaluation.test_protocols import Tied
from tests.models.observing import part_of

HOURS = 3600 * 1_000_000


def corpus_of(path: Path, held: list[tuple[int | None, str | None, list[str]]]) -> Corpus:
    """Twelve training posts of u0 to u2 with `a` and `b`, six with `c`; then `held` test posts."""
    rows = [(n, f"u{n % 3}", ["a", "b"]) for n in range(12)]
    rows += [(12 + n, f"u{n % 3}", ["c"]) for n in range(6)]
    rows += [(n, f"u{n % 3}", ["a"]) for n in range(3)]
    posts = [*rows, *held]
    times = [None if time is None else (10**6 + time) * HOURS for time, _, _ in posts]
    frame = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(len(posts))],
            "user": [user for _, user, _ in posts],
            "time": pl.Series(times, dtype=pl.Int64).cast(pl.Datetime("us")),
            "caption": ["" for _ in posts],
            "hashtags": [tags for *_, tags in posts],
            "part": ["train"] * 18 + ["validation"] * 3 + ["test"] * len(held),
        }
    )
    dataset = Dataset.create(path, frame, source={})
    make_split(dataset, "main", SplitRecipe(by="column"))
    return open_corpus(dataset, "main")


def fitted(name: str, corpus: Corpus, training: TrainingSet | None = None) -> Model:
    model = build(name, {}, Sizes.of(corpus.training)).eval()
    model.fit(training or corpus.training)
    return model


@pytest.mark.parametrize("name", ["user-history", "bll"])
def test_a_new_users_second_post_is_told_from_the_first(tmp_path: Path, name: str) -> None:
    corpus = corpus_of(tmp_path / "d", [(50, "new", ["c"]), (51, "new", ["c"])])
    posts, model = corpus.part("test"), fitted(name, corpus)
    full = judge(model, corpus, posts, "full", (1,))
    replay = judge(model, corpus, posts, "replay", (1,))
    assert full.values["recall@1"].tolist() == [0, 0]
    assert replay.values["recall@1"].tolist() == [0, 1]
    # The model itself has observed nothing.
    again = judge(model, corpus, posts, "full", (1,))
    assert torch.equal(again.ranked, full.ranked)
    assert model.sizes == Sizes.of(corpus.training)


def test_posts_go_in_order_of_time_and_are_judged_in_their_own(tmp_path: Path) -> None:
    held: list[tuple[int | None, str | None, list[str]]] = [
        (52, "new", ["c"]), (50, "new", ["c"]), (51, "other", ["b"]), (51, "other", ["b"]),
    ]  # fmt: skip
    corpus = corpus_of(tmp_path / "d", held)
    judged = judge(fitted("user-history", corpus), corpus, corpus.part("test"), "replay", (1,))
    assert judged.posts.tolist() == [0, 1, 2, 3]
    assert judged.values["recall@1"].tolist() == [1, 0, 0, 1]
    assert [corpus.hashtags.names[tag] for tag in judged.ranked[:, 0].tolist()] == list("caab")


def test_without_times_the_order_is_the_datasets(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "d", [(None, "new", ["c"]), (None, "new", ["c"])])
    judged = judge(fitted("bll", corpus), corpus, corpus.part("test"), "replay", (1,))
    assert judged.values["recall@1"].tolist() == [0, 1]


def test_hashtags_outside_the_catalogue_and_nobody_are_let_through(tmp_path: Path) -> None:
    held: list[tuple[int | None, str | None, list[str]]] = [
        (50, "new", ["c", "unheard"]), (51, "new", ["unheard"]), (52, None, ["c"]),
        (53, "new", ["c"]),
    ]  # fmt: skip
    corpus = corpus_of(tmp_path / "d", held)
    report = evaluate(fitted("user-history", corpus), corpus, protocol="replay", tops=(1,))
    assert (report.posts, report.skipped, report.hashtags) == (3, 1, 3)
    assert report.judged.values["recall@1"].tolist() == [0, 0, 1]
    assert report.new_to_user["uses"] == 3  # by training, in which `new` used nothing


@pytest.mark.parametrize("name", ["popularity", "user-history"])
def test_each_post_is_judged_by_a_model_of_those_before(corpus: Corpus, name: str) -> None:
    """Late training posts as the test part: the model is fitted anew before each."""
    training = corpus.training
    first, late = torch.arange(150), torch.arange(150, 156)
    posts = training.posts.select(late)
    replay = judge(fitted(name, corpus, part_of(training, first)), corpus, posts, "replay")
    for place in range(len(late)):
        before = part_of(training, torch.arange(150 + place))
        found = judge(fitted(name, corpus, before), corpus, posts.select(torch.tensor([place])))
        assert torch.equal(replay.ranked[place], found.ranked[0])


def test_a_model_that_cannot_observe_is_judged_as_in_full(corpus: Corpus) -> None:
    model = Tied(
        build("popularity", {}, Sizes.of(corpus.training)).config, Sizes.of(corpus.training)
    )
    full, replay = (evaluate(model, corpus, protocol=p) for p in ("full", "replay"))
    assert replay.metrics == full.metrics
    assert not replay.as_json()["observes"]
    assert "observes" not in full.as_json()
    assert evaluate(fitted("popularity", corpus), corpus, protocol="replay").as_json()["observes"]
