"""A recommender that observes: what was published counts in the very next answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from reeltag import Recommender
from reeltag.data.batches import single_post
from reeltag.data.dataset import Dataset
from reeltag.errors import MissingFeatureError, RunError
from reeltag.experiments.train import train_run
from reeltag.features.single import Extracted
from reeltag.recommend import Answer, Question
from reeltag.recommend.posts import Circumstances, NewPost
from reeltag.recommend.reasons import Reasons
from reeltag.training.evidence import Evidence
from tests.conftest import TOPICS

SMALL = {"rounds": 10, "least_rows": 3, "candidates": 12}


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "house"
    train_run(dataset, "main", "reeltag", SMALL, out)
    return out


@pytest.fixture
def recommender(run: Path) -> Recommender:
    return Recommender.load(run)


def facts(answer: Answer, hashtag: str, kind: str) -> list[dict[str, Any]]:
    tags = [tag for tag in answer.hashtags if tag.hashtag == hashtag]
    return [reason.facts for tag in tags for reason in tag.reasons if reason.kind == kind]


def test_a_new_user_and_a_new_hashtag_are_known_at_once(recommender: Recommender) -> None:
    everything = len(recommender.run.hashtags)
    before = recommender.answer(caption="a day at the sea", user="newcomer", k=99)
    assert not before.known_user
    recommender.observe("a day at the sea #MyTag", "newcomer", ["#sea"])
    answer = recommender.answer(caption="a day at the sea", user="newcomer", k=99)
    assert answer.known_user
    assert not any("newcomer" in warning for warning in answer.warnings)
    assert len(answer.hashtags) == everything + 1
    assert {tag.hashtag for tag in answer.hashtags[:3]} >= {"mytag", "sea"}
    assert facts(answer, "mytag", "history") == [{"uses": 1, "posts": 1}]
    (said,) = [
        reason.text
        for tag in answer.hashtags
        if tag.hashtag == "mytag"
        for reason in tag.reasons
        if reason.kind == "history"
    ]
    assert said == "you used it on 1 of your 1 posts"
    # Nobody else got a history.
    assert not facts(recommender.answer(user="u1", k=99), "mytag", "history")


def test_a_known_users_history_goes_on(recommender: Recommender) -> None:
    def counted() -> tuple[int, int]:
        run = recommender.run
        reasons = Reasons(recommender.evidence, run.hashtags)
        uses, posts = reasons._history(run.users.id_of("u1"))
        return uses[run.hashtags.id_of("sea")], posts

    uses, posts = counted()
    recommender.observe(None, "u1", ["sea"], at=1_800_000_000)
    assert counted() == (uses + 1, posts + 1)


def test_similar_posts_and_counts_see_it(recommender: Recommender, dataset: Dataset) -> None:
    features = {name: dataset.feature(name) for name in dataset.features}
    values = {name: np.asarray(f.rows(np.array([3]))[0]) for name, f in features.items()}
    recommender.observe("", None, ["brandnew"], values=values, post="mine")
    run, evidence = recommender.run, recommender.evidence
    assert run.hashtags.counts[-1] == 1
    assert evidence.nearest is not None
    assert len(evidence.nearest.resemblance.vectors) == evidence.posts.height
    assert evidence.posts["post"][-1] == "mine"
    asked = recommender.read(Question(None, Extracted(dict(values)), "", Circumstances(0)))
    encoded = run.model.encode(asked.posts)
    ((found,),) = recommender._why([asked], [[len(run.hashtags) - 1]], encoded)
    (similar,) = [reason for reason in found if reason.kind == "similar"]
    assert similar.facts["posts"][0] == "mine"
    popular = Reasons(evidence, run.hashtags)._popular_reason(len(run.hashtags) - 1)
    assert popular.text == f"used on 1 of {evidence.posts.height} training posts"


def test_word_counts_go_on() -> None:
    kinds = {"posts": pl.UInt32, "word_posts": pl.UInt32}
    rows = {"word": ["sun", "sun", "rain"], "hashtag": [0, 1, 0], "posts": [2, 3, 4]}
    words = pl.DataFrame({**rows, "word_posts": [5, 5, 6]}, schema_overrides=kinds)
    schema = {"post": pl.Utf8, "user": pl.Int64, "hashtags": pl.List(pl.Int64)}
    evidence = Evidence(pl.DataFrame(schema=schema), words, None)
    posts = single_post(3, {}, {})
    after = evidence.with_posts(["p"], [3], [[0, 7]], ["sun and moon"], posts)
    assert after.posts.rows() == [("p", 3, [0, 7])]
    assert after.words["posts"].to_list() == [3, 3, 4]
    assert after.words["word_posts"].to_list() == [6, 6, 6]
    assert after.words.schema == words.schema
    assert after.with_posts(["q"], [-1], [[]], [""], posts).posts.rows()[1] == ("q", -1, [])


def test_odd_posts(recommender: Recommender) -> None:
    count = recommender.evidence.posts.height
    recommender.observe(None, None)
    recommender.observe("# #1", "u1", ["##", ""])
    assert recommender.evidence.posts.height == count + 2
    assert recommender.recommend(user="u1")


def test_a_model_that_cannot_observe_says_who_can(dataset: Dataset, tmp_path: Path) -> None:
    train_run(dataset, "main", "user-additive", {"dim": 4, "epochs": 1}, tmp_path / "run")
    recommender = Recommender.load(tmp_path / "run")
    with pytest.raises(RunError, match=r"user-additive.*can observe: .*bll.*reeltag"):
        recommender.observe("a day", "u1", ["sea"])


def test_posts_published_together_are_published_one_by_one(run: Path, dataset: Dataset) -> None:
    features = {name: dataset.feature(name) for name in dataset.features}
    rows = [
        {name: np.asarray(f.rows(np.array([n]))[0]) for name, f in features.items()}
        for n in range(6)
    ]
    users = ["u1", "newcomer", None, "u1", "newcomer", "u9"]
    posts = [
        NewPost(
            user,
            ["sea", f"new{n % 2}"] if n else [],
            f"a day at the {TOPICS[n % 4]}",
            values,
            Circumstances(1_800_000_000 + n),
            f"late{n}",
        )
        for n, (user, values) in enumerate(zip(users, rows, strict=True))
    ]
    together, one_by_one = Recommender.load(run), Recommender.load(run)
    together.publish(posts)
    for post in posts:
        one_by_one.publish([post])
    assert together.run.users.names == one_by_one.run.users.names
    assert together.run.hashtags.names == one_by_one.run.hashtags.names
    for part in ("users", "hashtags"):
        mine, its = getattr(together.run, part), getattr(one_by_one.run, part)
        assert mine.counts.tolist() == its.counts.tolist()
    assert together.evidence.posts.equals(one_by_one.evidence.posts)
    assert together.evidence.words.equals(one_by_one.evidence.words)
    for user in ("u1", "newcomer", None):
        first, second = (
            r.answer(caption="a day at the sea", user=user, k=6, at=1_800_000_100)
            for r in (together, one_by_one)
        )
        assert [t.hashtag for t in first.hashtags] == [t.hashtag for t in second.hashtags]
        assert [t.score for t in first.hashtags] == pytest.approx(
            [t.score for t in second.hashtags], abs=1e-5
        )
        assert [[r.kind for r in t.reasons] for t in first.hashtags] == [
            [r.kind for r in t.reasons] for t in second.hashtags
        ]


def test_a_post_that_does_not_fit_changes_nothing(recommender: Recommender) -> None:
    before = recommender.answer(user="u1", at=0)
    good = NewPost("u1", ["sea"], "", {}, Circumstances(0), "good")
    bad = replace(good, user="new", hashtags=["other"], values={"visual-test": np.zeros(99)})
    with pytest.raises(MissingFeatureError, match="visual-test"):
        recommender.publish([good, bad])
    assert recommender.run.users.id_of("new") == -1
    after = recommender.answer(user="u1", at=0)
    assert [t.as_json() for t in after.hashtags] == [t.as_json() for t in before.hashtags]
