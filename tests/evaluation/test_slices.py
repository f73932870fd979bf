"""Slices of a report against their definitions, one post at a time."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import polars as pl
import pytest

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import Split, SplitRecipe, make_split
from reeltag.evaluation.evaluate import Report, evaluate
from reeltag.evaluation.slices import caption_groups, popularity_buckets
from reeltag.models.contract import Sizes
from reeltag.models.registry import build

TOPS = (3, 10)
CAPTIONS = ("a  Sea day", "A SEA\nday ", "", "harbour", "new 1", "new 2", "new 3")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Users of 1 to 30 posts, many of two, and nobody's, at random; some hashtags are cold."""
    rng = np.random.default_rng(0)
    users: list[str | None] = [f"u{n}" for n in range(30) for _ in range(1 + n)]
    users += [f"pair{n // 2}" for n in range(60)] + [None] * 20
    count = len(users)
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(count)],
            "user": pl.Series(users, dtype=pl.Utf8),
            "caption": rng.choice(CAPTIONS[:4], count),
            "hashtags": [
                sorted({f"t{int(t)}" for t in rng.geometric(0.07, 3)}) for _ in range(count)
            ],
        }
    ).with_columns(
        caption=pl.when(pl.int_range(count) % 3 == 0)
        .then(pl.format("only {}", "post"))
        .otherwise("caption")
    )
    path = tmp_path_factory.mktemp("slices") / "data"
    dataset = Dataset.create(path, posts, source={"format": "generated"})
    make_split(dataset, "main", SplitRecipe("random", (2, 1, 1), cold_hashtags=0.2))
    return open_corpus(dataset, "main")


@pytest.fixture(scope="module")
def reports(corpus: Corpus) -> dict[str, Report]:
    model = build("user-history", {}, Sizes.of(corpus.training))
    model.fit(corpus.training)
    return {on: evaluate(model, corpus, on, tops=TOPS) for on in ("validation", "test")}


def judged_posts(corpus: Corpus, report: Report) -> pl.DataFrame:
    """The judged posts as stored, with the hashtags they were judged on as names."""
    rows = corpus.part(report.on).rows[report.judged.posts].numpy()
    return corpus.posts[rows]


def ndcg(ranked: list[str], positives: set[str], k: int) -> float:
    gains = sum(1 / np.log2(r + 2) for r, tag in enumerate(ranked[:k]) if tag in positives)
    return float(gains / sum(1 / np.log2(r + 2) for r in range(min(k, len(positives)))))


def expected(
    corpus: Corpus, report: Report, chosen: list[set[str]]
) -> tuple[dict[str, float], list[bool]]:
    """The slice over `chosen` hashtags of each judged post, naively; who takes part."""
    names = corpus.hashtags.names
    ranked = [[names[tag] for tag in row] for row in report.judged.ranked.tolist()]
    pairs = [(row, tags) for row, tags in zip(ranked, chosen, strict=True) if tags]
    means: dict[str, float] = {}
    for k in TOPS:
        recalls = [len(tags & set(row[:k])) / len(tags) for row, tags in pairs]
        means[f"recall@{k}"] = float(np.mean(recalls)) if pairs else 0.0
        means[f"ndcg@{k}"] = float(np.mean([ndcg(r, t, k) for r, t in pairs])) if pairs else 0.0
    means |= {"posts": len(pairs), "uses": sum(len(tags) for _, tags in pairs)}
    return means, [bool(tags) for tags in chosen]


@pytest.mark.parametrize("on", ["validation", "test"])
def test_new_to_the_user_is_used_in_no_earlier_part(
    corpus: Corpus, reports: dict[str, Report], on: str
) -> None:
    used: dict[str, set[str]] = {}
    for part in ("train", "validation") if on == "test" else ("train",):
        for user, tags in corpus.posts[corpus.split.rows(part)].select("user", "hashtags").rows():
            if user is not None:
                used.setdefault(user, set()).update(tags)
    posts = judged_posts(corpus, reports[on])
    known = set(corpus.hashtags.names)
    new = [
        (set(tags) & known) - used.get(user, set())
        for user, tags in posts.select("user", "hashtags").rows()
    ]
    found, there = expected(corpus, reports[on], new)
    assert reports[on].new_to_user == pytest.approx(found)
    assert 0 < sum(there) <= len(there)
    # Somebody is known from validation alone: training's vocabulary cannot tell them.
    if on == "test":
        strangers = set(used) - set(corpus.users.names)
        assert strangers & set(posts["user"].drop_nulls())


@pytest.mark.parametrize("on", ["validation", "test"])
def test_popularity_is_counted_on_training_posts(
    corpus: Corpus, reports: dict[str, Report], on: str
) -> None:
    train = corpus.posts[corpus.split.rows("train")]["hashtags"]
    uses = Counter(train.explode(empty_as_null=False))
    bounds = {"popular": (28, 10**9), "relative": (10, 27), "unpopular": (1, 9), "unseen": (0, 0)}
    known = set(corpus.hashtags.names)
    for name, (low, high) in bounds.items():
        own = {tag for tag in known if low <= uses[tag] <= high}
        tags = judged_posts(corpus, reports[on])["hashtags"]
        found, _ = expected(corpus, reports[on], [set(row) & own for row in tags])
        assert reports[on].by_popularity[name] == pytest.approx(found), name
    cold = reports[on].by_popularity["unseen"]["posts"]
    assert cold == 0 if on == "validation" else cold > 0
    whole = sum(slice_["uses"] for slice_ in reports[on].by_popularity.values())
    assert whole == len(reports[on].judged.positives.values)


def test_without_unused_hashtags_none_is_unseen() -> None:
    found = popularity_buckets(np.array([28, 27, 10, 9, 1]))
    assert {name: chosen.tolist() for name, chosen in found.items()} == {
        "popular": [True, False, False, False, False],
        "relative": [False, True, True, False, False],
        "unpopular": [False, False, False, True, True],
    }
    assert popularity_buckets(np.array([3, 0]))["unseen"].tolist() == [False, True]


@pytest.mark.parametrize("on", ["validation", "test"])
def test_history_is_the_users_training_posts(
    corpus: Corpus, reports: dict[str, Report], on: str
) -> None:
    report, posts = reports[on], judged_posts(corpus, reports[on])
    counts = Counter(corpus.posts[corpus.split.rows("train")]["user"])
    del counts[None]
    known, bounds = set(corpus.hashtags.names), {"0": 0, "1-4": 4, "5-14": 14, "15+": 10**9}
    tags = [set(row) & known for row in posts["hashtags"]]
    groups = [
        next(name for name, most in bounds.items() if counts[user] <= most)
        for user in posts["user"]
    ]
    for name in bounds:
        mine = [row if group == name else set() for row, group in zip(tags, groups, strict=True)]
        assert report.by_history[name] == pytest.approx(expected(corpus, report, mine)[0]), name
    assert {None} < {
        user for user, group in zip(posts["user"], groups, strict=True) if group == "0"
    }
    assert min(report.by_history[name]["posts"] for name in bounds) > 0


@pytest.mark.parametrize("on", ["validation", "test"])
def test_repeated_captions_are_those_of_training_posts(
    corpus: Corpus, reports: dict[str, Report], on: str
) -> None:
    def plain(caption: str) -> str:
        return re.sub(r"\s+", " ", caption.lower()).strip()

    report, posts = reports[on], judged_posts(corpus, reports[on])
    seen = {plain(c) for c in corpus.posts[corpus.split.rows("train")]["caption"]} - {""}
    known = set(corpus.hashtags.names)
    for name in ("repeated", "new"):
        mine = [
            set(tags) & known if (plain(caption) in seen) == (name == "repeated") else set()
            for caption, tags in posts.select("caption", "hashtags").rows()
        ]
        assert report.by_caption[name] == pytest.approx(expected(corpus, report, mine)[0]), name
        assert report.by_caption[name]["posts"] > 0


def test_captions_are_compared_in_blocks(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    posts = corpus.part("train")
    at_once = caption_groups(corpus, posts)["repeated"]
    monkeypatch.setattr("reeltag.evaluation.slices._BLOCK", 7)
    assert caption_groups(corpus, posts)["repeated"].equal(at_once)
    assert at_once.any()


def test_slices_of_posts_follow_the_protocol(corpus: Corpus) -> None:
    """Judged one interaction at a time, posts are interactions."""
    model = build("popularity", {}, Sizes.of(corpus.training))
    model.fit(corpus.training)
    report = evaluate(model, corpus, protocol="leave-one-out", tops=TOPS)
    for kind in (report.by_history, report.by_caption):
        assert sum(found["posts"] for found in kind.values()) == report.posts
        assert all(found["posts"] == found["uses"] for found in kind.values())
        mean = sum(found["ndcg@10"] * found["posts"] for found in kind.values()) / report.posts
        assert mean == pytest.approx(report.metrics["ndcg@10"])


def test_a_group_without_posts_has_zeros(corpus: Corpus) -> None:
    known = corpus.dataset.posts["user"].is_in(corpus.users.names).fill_null(False)
    parts = corpus.split.parts.zip_with(known, pl.Series([None] * len(known), dtype=pl.Utf8))
    whole = Corpus(corpus.dataset, Split("known", SplitRecipe("random"), parts))
    model = build("popularity", {}, Sizes.of(whole.training))
    model.fit(whole.training)
    found = evaluate(model, whole, tops=TOPS).by_history
    assert set(found["0"].values()) == {0}
    assert found["0"].keys() == found["15+"].keys()
