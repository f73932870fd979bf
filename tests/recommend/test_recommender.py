"""Recommendations for whatever is known of a post, and reasons that are true."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from reeltag import Recommender
from reeltag.data.corpus import open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split, open_split
from reeltag.errors import ConfigError, RunError
from reeltag.experiments.judge import corpus_of
from reeltag.experiments.train import train_run
from reeltag.features.single import Extracted
from reeltag.recommend import Answer, Question
from reeltag.recommend.posts import Circumstances
from reeltag.storage import read_toml, write_toml
from reeltag.training.run import load_run


@pytest.fixture(scope="module")
def recommender(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    out = tmp_path_factory.mktemp("runs") / "gcn"
    train_run(dataset, "main", "gcn-phr", {"dim": 8, "epochs": 4, "batch_size": 64}, out)
    return Recommender.load(out)


@pytest.fixture(scope="module")
def training(dataset: Dataset) -> pl.DataFrame:
    return dataset.posts.filter(open_split(dataset, "main").parts == "train")


def reasons(answer: Answer, kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(t.hashtag, r.facts) for t in answer.hashtags for r in t.reasons if r.kind == kind]


def test_ranks_and_scores_go_down(recommender: Recommender) -> None:
    tags = recommender.recommend(caption="a day at the sea", user="u1", k=7)
    assert [tag.rank for tag in tags] == list(range(1, 8))
    scores = [tag.score for tag in tags]
    assert scores == sorted(scores, reverse=True)
    assert len({tag.hashtag for tag in tags}) == 7


def test_known_unknown_and_no_user(recommender: Recommender) -> None:
    known = recommender.answer(user="u1")
    stranger = recommender.answer(user="stranger")
    nobody = recommender.answer()
    assert (known.known_user, stranger.known_user, nobody.known_user) == (True, False, False)
    assert any("'stranger' is not among" in warning for warning in stranger.warnings)
    assert [t.hashtag for t in stranger.hashtags] == [t.hashtag for t in nobody.hashtags]
    assert [t.score for t in known.hashtags] != [t.score for t in nobody.hashtags]


def test_missing_features_are_said(recommender: Recommender) -> None:
    answer = recommender.answer(user="u1", caption="sea")
    assert any("visual-test" in w and "modality missing" in w for w in answer.warnings)
    assert any("no feature of this post" in w for w in answer.warnings)


def test_a_clip_that_is_none_is_said(recommender: Recommender, tmp_path: Path) -> None:
    clip = tmp_path / "text.mp4"
    clip.write_text("not a video")
    answer = recommender.answer(clip, "sea", "u1")
    assert any("clip was not read" in warning for warning in answer.warnings)
    assert answer.hashtags


def test_json_has_the_contracts_keys(recommender: Recommender) -> None:
    answer = recommender.answer(user="u1", k=2).as_json()
    assert set(answer) == {"user", "known_user", "hashtags", "warnings", "timing_ms"}
    assert set(answer["hashtags"][0]) == {"rank", "hashtag", "score", "reasons"}
    assert set(answer["timing_ms"]) == {"decode", "features", "score", "total"}


def test_history_reasons_are_true(recommender: Recommender, training: pl.DataFrame) -> None:
    answer = recommender.answer(user="u1", k=50)
    own = training.filter(pl.col("user") == "u1")
    found = reasons(answer, "history")
    assert found
    for hashtag, facts in found:
        assert facts["posts"] == own.height
        assert facts["uses"] == own.filter(pl.col("hashtags").list.contains(hashtag)).height
    explained = {hashtag for hashtag, _ in found}
    shown = {t.hashtag for t in answer.hashtags}
    used = set(own["hashtags"].explode())
    assert explained == used & shown


def test_word_reasons_are_true(recommender: Recommender, training: pl.DataFrame) -> None:
    answer = recommender.answer(caption="at the SEA", k=50)
    with_word = training.filter(pl.col("caption").str.contains(r"\bsea\b"))
    found = reasons(answer, "word")
    assert ("sea", {"word": "sea"}) in found
    for hashtag, facts in found:
        if "of" in facts:
            assert facts["word"] == "sea"
            assert facts["of"] == with_word.height
            carriers = with_word.filter(pl.col("hashtags").list.contains(hashtag))
            assert facts["posts"] == carriers.height


def test_popular_reasons_are_true(recommender: Recommender, training: pl.DataFrame) -> None:
    found = reasons(recommender.answer(k=50), "popular")
    assert found
    for hashtag, facts in found:
        carriers = training.filter(pl.col("hashtags").list.contains(hashtag))
        assert (facts["uses"], facts["posts"]) == (carriers.height, training.height)


def test_every_hashtag_has_a_reason_unless_not_asked(recommender: Recommender) -> None:
    assert all(tag.reasons for tag in recommender.recommend(user="u2", k=50))
    assert not any(tag.reasons for tag in recommender.recommend(user="u2", explain=False))


def test_hashtags_in_the_caption_are_ignored(recommender: Recommender) -> None:
    plain = recommender.answer(caption="a day", user="u1")
    tagged = recommender.answer(caption="a day #sea", user="u1")
    assert [t.as_json() for t in plain.hashtags] == [t.as_json() for t in tagged.hashtags]


def test_odd_k(recommender: Recommender) -> None:
    assert len(recommender.recommend(k=10**9)) == len(recommender.run.hashtags)
    with pytest.raises(ConfigError, match="k=0"):
        recommender.recommend(k=0)


@pytest.mark.parametrize("name", ["text-knn", "tag-names"])
def test_a_caption_is_read_as_it_was_in_training(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    train_run(dataset, "main", name, {}, tmp_path / "run")
    run = load_run(tmp_path / "run")
    corpus = corpus_of(run, dataset)
    posts = corpus.part("test")
    caption = dataset.posts["caption"][int(posts.rows[0])]
    expected = run.model.scored(corpus.batch(posts, torch.tensor([0])))[0]
    answer = Recommender.load(tmp_path / "run").answer(caption=caption, k=len(run.hashtags))
    found = {tag.hashtag: tag.score for tag in answer.hashtags}
    assert found == pytest.approx(dict(zip(run.hashtags.names, expected.tolist(), strict=True)))


@pytest.fixture(scope="module")
def profiled(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small dataset, with a gender and an age for all of its users but one."""
    known = dataset.users.select(
        "user",
        gender=pl.when(pl.col("user") != "u7").then(pl.lit("f")).otherwise(None),
        age=pl.int_range(20, 20 + pl.len()),
    ).with_columns(gender=pl.when(pl.col("user") == "u2").then(pl.lit("m")).otherwise("gender"))
    made = Dataset.create(
        tmp_path_factory.mktemp("profiled") / "d",
        dataset.posts,
        source={},
        features=[dataset.feature(name) for name in dataset.features],
        users=known,
    )
    make_split(made, "main", SplitRecipe())
    return made


@pytest.fixture(scope="module")
def personal(profiled: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    """A run of a model that reads what is known about the user."""
    out = tmp_path_factory.mktemp("personal") / "run"
    train_run(profiled, "main", "user-additive", {"dim": 4, "epochs": 1}, out)
    return Recommender.load(out)


def test_a_run_keeps_its_fields_and_profiles(profiled: Dataset, personal: Recommender) -> None:
    corpus, run = open_corpus(profiled, "main"), personal.run
    assert run.fields == corpus.fields
    assert [field.name for field in run.fields.fields] == ["gender", "age"]
    assert run.model.sizes.fields == run.fields.widths == (3, 7)
    assert run.profiles.shape == (len(run.users), 2)
    codes = dict(zip(run.users.names, run.profiles.tolist(), strict=True))
    assert codes["u7"][0] == 0
    assert codes["u2"][0] == 2
    for user, mine in codes.items():
        assert mine == corpus.fields.codes(profiled.users, pl.Series([user]))[0].tolist()


def test_damaged_fields_are_named(personal: Recommender, tmp_path: Path) -> None:
    shutil.copytree(personal.run.path, tmp_path / "run")
    toml = tmp_path / "run" / "run.toml"
    description = read_toml(toml)
    description["fields"][1]["edges"] = [1.0]
    write_toml(toml, description)
    with pytest.raises(RunError, match="fields of users are damaged"):
        load_run(tmp_path / "run")


def test_a_profile_takes_the_place_of_what_the_run_knows(personal: Recommender) -> None:
    def scores(**given: Any) -> dict[str, float]:
        answer = personal.answer(k=99, explain=False, **given)
        return {tag.hashtag: tag.score for tag in answer.hashtags}

    ages = dict(zip(personal.run.users.names, personal.run.profiles.tolist(), strict=True))
    assert ages["u2"][0] == 2
    nobody = scores()
    assert scores(profile={}) == nobody
    assert scores(profile={"gender": "f"}) != nobody
    assert scores(profile={"gender": "m", "age": "20"}) == scores(
        profile={"gender": "m", "age": 20}
    )
    assert scores(user="u1", profile={"gender": "m"}) != scores(user="u1")


def test_a_field_that_is_not_named_stays_what_the_run_knows(personal: Recommender) -> None:
    run = personal.run
    user = run.users.id_of("u2")
    gender, age = run.profiles[user].tolist()
    found = personal._fields(user, {"gender": "f"}).tolist()
    assert found == [run.fields.of({"gender": "f"})[0].item(), age]
    assert found[0] != gender
    assert personal._fields(user, {"gender": None}).tolist() == [0, age]
    assert personal._fields(-1, {"gender": "f"}).tolist() == [found[0], 0]


def test_a_profile_never_seen_is_said(personal: Recommender) -> None:
    answer = personal.answer(profile={"gender": "x", "age": 99})
    (said,) = [warning for warning in answer.warnings if "never seen" in warning]
    assert said == "gender 'x' was never seen in training: treated as unknown (seen: f, m)"
    with pytest.raises(
        ConfigError, match="Got 'height' about a user, expected one of: gender, age"
    ):
        personal.answer(profile={"height": 3})


def test_questions_answered_together_are_answered_alone(recommender: Recommender) -> None:
    rng = np.random.default_rng(0)
    shapes = {name: manifest.shape for name, manifest in recommender.run.manifests.items()}
    asked = [
        Question(
            user,
            Extracted({name: rng.standard_normal(shape) for name, shape in shapes.items()}),
            text,
            Circumstances(0),
            k,
            explain,
        )
        for user, text, k, explain in (
            ("u1", "a day at the sea", 3, True),
            (None, "", 5, True),
            ("u2", "food", 10**9, False),
            ("stranger", "a game", 1, True),
        )
    ]
    together = recommender.respond([recommender.read(question) for question in asked])
    for question, found in zip(asked, together, strict=True):
        (alone,) = recommender.respond([recommender.read(question)])
        assert found.warnings == alone.warnings
        assert (found.user, found.known_user) == (alone.user, alone.known_user)
        assert len(found.hashtags) == min(question.k, len(recommender.run.hashtags))
        for mine, its in zip(found.hashtags, alone.hashtags, strict=True):
            assert mine.hashtag == its.hashtag
            assert mine.score == pytest.approx(its.score, abs=1e-6)
            assert mine.reasons == its.reasons
            assert bool(mine.reasons) is question.explain
