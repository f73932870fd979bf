"""Reasons of the house model: what raised a hashtag, in words whose facts are recounted."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import polars as pl
import pytest
import torch

from reeltag import Recommender
from reeltag.data.batches import single_post
from reeltag.data.splits import open_split
from reeltag.experiments.train import train_run
from reeltag.models.house import House
from reeltag.recommend import Recommendation
from reeltag.recommend.contributions import _common
from reeltag.words import pieces, words
from tests.cli.test_commands import reeltag
from tests.models.captioned import captioned

KINDS = {
    "history": {"uses", "posts"},
    "bll": {"uses", "ago"},
    "own-knn": {"count", "of", "posts", "cosines"},
    "similar": {"count", "of", "posts", "cosines"},
    "text-knn": {"count", "of", "posts", "cosines"},
    "ridge": {"count", "of", "posts", "cosines"},
    "word": {"word", "posts", "of", "others"},
    "tag-names": {"whole", "words", "pieces"},
    "ease": {"hashtags", "weights"},
    "related": {"hashtags", "weights"},
    "tag-meaning": {"cosine", "posts"},
    "context": {"kind", "posts", "of", "others"},
    "popular": {"uses", "posts"},
    "agreement": {"count", "of", "first"},
}


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contributions")
    dataset = captioned(folder / "data", posts=200).dataset
    settings = {"rounds": 60, "least_rows": 5, "candidates": 20, "refit": False}
    train_run(dataset, "main", "reeltag", settings, folder / "run")
    return folder


@pytest.fixture(scope="module")
def recommender(road: Path) -> Recommender:
    return Recommender.load(road / "run", "cpu")


@pytest.fixture(scope="module")
def training(road: Path) -> pl.DataFrame:
    dataset = captioned(road / "again", posts=200).dataset
    return dataset.posts.filter(open_split(dataset, "main").parts == "train")


CAPTIONS = ("sunset beach", "kitchen at the harbour", "goal goal striker", "nothing known", "")


def every(recommender: Recommender) -> list[tuple[str, str | None, Recommendation]]:
    return [
        (caption, user, tag)
        for caption in CAPTIONS
        for user in ("u1", "u4", "stranger", None)
        for tag in recommender.recommend(caption=caption, user=user, k=12)
    ]


def carriers(posts: pl.DataFrame, hashtag: str) -> int:
    return posts.filter(pl.col("hashtags").list.contains(hashtag)).height


def test_who_always_uses_it_is_told_so_first(
    recommender: Recommender, training: pl.DataFrame
) -> None:
    for user in ("u0", "u3"):
        found = {t.hashtag: t for t in recommender.recommend(caption="at home", user=user)}
        own = training.filter(pl.col("user") == user).height
        first = found[f"by{user[1]}"].reasons[0]
        assert (first.kind, first.text) == ("history", f"you used it on {own} of your {own} posts")
        assert first.facts == {"uses": own, "posts": own}


def test_reasons_are_few_strong_and_ordered(recommender: Recommender) -> None:
    kinds = set()
    for _, _, tag in every(recommender):
        shares = [r.contribution for r in tag.reasons if r.contribution is not None]
        assert len(shares) in (0, len(tag.reasons))  # the model's own or counted, never mixed
        assert len(shares) <= 4
        assert shares == sorted(shares, reverse=True)
        assert all(0.1 <= share <= 1 for share in shares)
        assert sum(shares) <= 1 + 1e-9
        assert len({r.kind for r in tag.reasons}) == len(tag.reasons) > 0
        kinds |= {r.kind for r in tag.reasons}
    assert len(kinds) > 5


def test_reasons_are_true(recommender: Recommender, training: pl.DataFrame) -> None:
    for caption, user, tag in every(recommender):
        own = training.filter(pl.col("user") == (user or ""))
        said = set(words(caption))
        for reason in tag.reasons:
            facts, name = reason.facts, tag.hashtag
            match reason.kind:
                case "history":
                    assert facts == {"uses": carriers(own, name), "posts": own.height}
                case "bll":
                    newest = own.reverse()["hashtags"].list.contains(name).to_list()
                    assert facts == {"uses": carriers(own, name), "ago": 1 + newest.index(True)}
                case "own-knn" | "similar" | "text-knn" | "ridge":
                    named = training.filter(pl.col("post").is_in(facts["posts"]))
                    assert carriers(named, name) == len(facts["posts"]) == min(3, facts["count"])
                    assert facts["cosines"] == sorted(facts["cosines"], reverse=True)
                    if reason.kind == "own-knn":
                        assert set(named["user"]) == {user}
                case "word":
                    for spoken in (facts, *facts.get("others", [])):
                        assert spoken["word"] in said
                        read = [spoken["word"] in words(c) for c in training["caption"]]
                        with_word = training.filter(pl.Series(read))
                        assert spoken["of"] == with_word.height
                        assert spoken["posts"] == carriers(with_word, name)
                case "tag-names":
                    assert set(facts["words"]) <= said
                    assert not facts["whole"] or name in "".join(words(caption))
                    assert facts["whole"] or "of the caption" in reason.text
                case "ease":
                    assert all(carriers(own, other) for other in facts["hashtags"])
                    assert name not in facts["hashtags"]
                case "related":
                    assert facts["hashtags"]
                    assert min(facts["weights"]) > 0
                    assert name not in facts["hashtags"]
                case "popular":
                    assert facts == {"uses": carriers(training, name), "posts": training.height}


def test_somebody_unknown_has_no_history(recommender: Recommender) -> None:
    for _, user, tag in every(recommender):
        if user in (None, "stranger"):
            assert not {r.kind for r in tag.reasons} & {"history", "bll", "own-knn", "ease"}


def test_shares_are_those_of_the_contributions(recommender: Recommender) -> None:
    """Of reasons that no two groups share, by the model's own numbers."""
    run, alone = recommender.run, {"bll", "own-knn", "text-knn", "tag-names", "ease", "agreement"}
    assert isinstance(run.model, House)
    compared = 0
    for user, caption in itertools.product(("u0", "u1", "u2", "u3"), CAPTIONS):
        said = sorted(set(words(caption)))
        posts = single_post(
            run.users.id_of(user), {"visual-test": None}, run.manifests,
            words=run.words.ids_of(pl.Series(said, dtype=pl.Utf8)), pieces=pieces(caption),
        )  # fmt: skip
        tags = recommender.recommend(caption=caption, user=user, k=12)
        ids = torch.tensor([[run.hashtags.id_of(tag.hashtag) for tag in tags]])
        parts = run.model.contributions(run.model.encode(posts), ids)
        for tag, values in zip(tags, parts.values[0].tolist(), strict=True):
            added = dict(zip(parts.groups, values, strict=True))
            shares = {r.kind: r.contribution for r in tag.reasons if r.kind in alone}
            unit = [added[kind] / share for kind, share in shares.items() if share]
            assert unit == pytest.approx(unit[:1] * len(unit), rel=1e-4)
            compared += len(unit) > 1
    assert compared


def test_without_trees_the_votes_are_the_reasons(road: Path) -> None:
    recommender = Recommender.load(road / "run", "cpu")
    model = recommender.run.model
    assert isinstance(model, House)
    model.trees.text = model.trees.text[:0]
    tags = recommender.recommend(caption="sunset beach", user="u1", k=12)
    assert tags[0].score < 1
    assert all(reason.contribution is not None for reason in tags[0].reasons)
    # Ten scorers, the first places of each worth a tenth: none is more than 4 / 10 of the votes.
    assert sum(r.contribution or 0 for r in tags[0].reasons) <= 1


def test_the_command_prints_them(road: Path) -> None:
    asked = ("recommend", "run", "--caption", "sunset beach", "--user", "u1", "-k", 5, "--explain")
    out, _ = reeltag(*asked, "--json", cwd=road)
    found = json.loads(out)["hashtags"]
    assert found[0]["reasons"][0]["contribution"] >= 0.1
    for tag in found:
        for reason in tag["reasons"]:
            share = reason.pop("contribution", None)
            assert share is None or 0.1 <= share <= 1
            assert set(reason) - {"kind", "text"} <= KINDS[reason["kind"]]
    table, _ = reeltag(*asked, cwd=road)
    assert "you used it" in table


@pytest.mark.parametrize(
    ("name", "caption", "run"),
    [
        ("gazastreifen", "Neues aus Gaza", "gaza"),
        ("舞蹈教学", "一起跳舞蹈", "舞蹈"),
        ("boat", "xyz", ""),
        ("boat", "b", ""),
        ("boat", "", ""),
    ],
)
def test_the_run_a_name_shares_with_a_caption(name: str, caption: str, run: str) -> None:
    assert _common(name, caption) == run
