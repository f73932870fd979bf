"""Filters and splits against their definitions, counted one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltag.data.dataset import Dataset
from reeltag.data.filters import Filter, apply_filter, filter_dataset
from reeltag.data.schema import conform
from reeltag.data.splits import SplitRecipe, divide, make_split, open_split, parse_ratio
from reeltag.errors import ConfigError, DatasetError, InputError

rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]), st.sets(st.sampled_from("uvwxyz"), max_size=4)
    ),
    min_size=1,
    max_size=40,
)


def frame(posts: list[tuple[str | None, set[str]]]) -> pl.DataFrame:
    return conform(
        pl.DataFrame(
            {
                "post": [f"p{n}" for n in range(len(posts))],
                "user": pl.Series([user for user, _ in posts], dtype=pl.Utf8),
                "hashtags": pl.Series([sorted(tags) for _, tags in posts], dtype=pl.List(pl.Utf8)),
            }
        )
    )


def naive_core(
    posts: list[tuple[str | None, set[str]]], uses: int, active: int
) -> dict[int, set[str]]:
    kept = {n: set(tags) for n, (_, tags) in enumerate(posts)}
    while True:
        tags = Counter(tag for row in kept.values() for tag in row)
        users = Counter(posts[n][0] for n in kept)
        after = {n: {t for t in row if tags[t] >= uses} for n, row in kept.items()}
        after = {n: row for n, row in after.items() if row}
        after = {
            n: row for n, row in after.items() if posts[n][0] is not None
            and users[posts[n][0]] >= active
        }  # fmt: skip
        if after == kept:
            return kept
        kept = after


@given(rows, st.integers(1, 4), st.integers(1, 4))
def test_core_is_stable_and_largest(
    posts: list[tuple[str | None, set[str]]], uses: int, active: int
) -> None:
    kept = apply_filter(frame(posts), Filter(uses, active))
    found = dict(zip(kept["row"], map(set, kept["hashtags"]), strict=True))
    assert found == naive_core(posts, uses, active)


def test_newest_posts_of_each_user_are_kept() -> None:
    posts = frame([("a", {"x"}), ("b", {"x"}), ("a", {"y"}), ("a", {"z"}), (None, {"x"})])
    posts = posts.with_columns(time=pl.Series([5, 1, 9, 7, 1]).cast(pl.Datetime("us")))
    kept = apply_filter(posts, Filter(max_posts_per_user=2))
    assert kept["post"].to_list() == ["p1", "p2", "p3", "p4"]


def uses_of(posts: pl.DataFrame) -> dict[str, int]:
    return dict(Counter(posts["hashtags"].explode(empty_as_null=False)))


def skewed() -> pl.DataFrame:
    """400 posts with "a", 200 of them with "b" too, 80 with "c", 20 with "d"; 10 with nothing."""
    rows: list[tuple[str | None, set[str]]] = []
    for n in range(400):
        rare = {"c"} if n % 5 == 0 else {"d"} if n % 20 == 1 else set()
        rows.append((f"u{n % 7}", {"a", *(["b"] if n % 2 else []), *rare}))
    return frame([*rows, *[(None, set())] * 10])


def test_top_hashtags_get_the_uses_of_the_next() -> None:
    posts = skewed()
    assert uses_of(posts) == {"a": 400, "b": 200, "c": 80, "d": 20}
    kept = apply_filter(posts, Filter(balance_top=2))
    assert uses_of(kept) == {"a": 80, "b": 80, "c": 80, "d": 20}
    before = dict(enumerate(posts["hashtags"].to_list()))
    after = dict(zip(kept["row"], kept["hashtags"].to_list(), strict=True))
    assert list(after) == sorted(after)
    for row, tags in after.items():
        # The order within a post stays, and so does every hashtag that is not one of the top.
        assert tags == [tag for tag in before[row] if tag in tags]
        assert {"c", "d"} & set(tags) == {"c", "d"} & set(before[row])
    assert all(set(before[row]) <= {"a", "b"} for row in before if row not in after)
    assert all(after[row] for row in after if row < 400)
    assert kept.height == sum(bool(tags) for tags in after.values()) + 10


def test_each_use_of_a_top_hashtag_is_as_likely_to_stay() -> None:
    """Over 200 seeds a use of "a" stays with 80 / 400: no place in the file is favoured."""
    posts, seeds = skewed(), 200
    stayed = np.zeros(400)
    for seed in range(seeds):
        kept = apply_filter(posts, Filter(balance_top=2, seed=seed))
        stayed[kept.filter(pl.col("hashtags").list.contains("a"))["row"].to_numpy()] += 1
    expected, p = seeds * 0.2, 0.2
    chi = ((stayed - expected) ** 2 / (seeds * p * (1 - p))).sum()
    # As chi-square of about 400 degrees of freedom: mean 400, deviation 28.
    assert abs(chi - 400) < 4 * 28


@given(rows, st.integers(1, 5), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_balanced_posts_still_pass_the_other_rules(
    posts: list[tuple[str | None, set[str]]], top: int, uses: int, active: int, seed: int
) -> None:
    core = apply_filter(frame(posts), Filter(uses, active))
    ranked = sorted(uses_of(core).items(), key=lambda pair: (-pair[1], pair[0]))
    rules = Filter(uses, active, balance_top=top, seed=seed)
    if len(ranked) <= top:
        with pytest.raises(ConfigError, match=f"{len(ranked)} hashtags are left"):
            apply_filter(frame(posts), rules)
        return
    kept = apply_filter(frame(posts), rules)
    assert kept.equals(apply_filter(frame(posts), rules))
    after, m = uses_of(kept), ranked[top][1]
    assert max(after.values(), default=0) <= m
    assert min(after.values(), default=uses) >= uses
    users = Counter(kept["user"])
    assert min(users.values(), default=active) >= active
    if not uses and not active:
        assert after == {tag: min(count, m) for tag, count in ranked}


def test_equal_seeds_balance_equally(dataset: Dataset) -> None:
    def kept(seed: int) -> pl.DataFrame:
        return apply_filter(dataset.posts, Filter(balance_top=3, seed=seed))

    assert kept(1).equals(kept(1))
    assert not kept(1).equals(kept(2))


def test_features_and_fields_follow_balanced_posts(dataset: Dataset, tmp_path: Path) -> None:
    known = dataset.users.select("user", age=pl.int_range(pl.len()))
    described = Dataset.create(
        tmp_path / "described",
        dataset.posts.with_columns(pl.col("hashtags").list.slice(0, 2)),
        source={},
        features=[dataset.feature(name) for name in dataset.features],
        users=known,
    )
    # All but the rarest: most posts lose both of their hashtags.
    rules = Filter(balance_top=described.counts["hashtags"] - 1, seed=5)
    small = filter_dataset(described, tmp_path / "small", rules)
    assert 0 < small.counts["posts"] < described.counts["posts"]
    assert small.description["source"]["filter"]["balance_top"] == rules.balance_top
    assert small.description["source"]["filter"]["seed"] == 5
    where = {post: n for n, post in enumerate(described.posts["post"])}
    for name in described.features:
        before, after = described.feature(name), small.feature(name)
        for n, post in enumerate(small.posts["post"]):
            assert (after.row(n) == before.row(where[post])).all()
    ages = dict(known.iter_rows())
    assert {user: ages[user] for user in small.users["user"]} == dict(
        small.users.select("user", "age").iter_rows()
    )


def test_features_follow_their_posts(dataset: Dataset, tmp_path: Path) -> None:
    small = filter_dataset(dataset, tmp_path / "small", Filter(max_posts_per_user=3))
    where = {post: n for n, post in enumerate(dataset.posts["post"])}
    for name in dataset.features:
        before, after = dataset.feature(name), small.feature(name)
        for n, post in enumerate(small.posts["post"]):
            assert (after.row(n) == before.row(where[post])).all()
            assert after.present[n] == before.present[where[post]]


def test_nothing_left_is_an_error(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Loosen the rules"):
        filter_dataset(dataset, tmp_path / "none", Filter(min_hashtag_uses=10_000))
    assert not list(tmp_path.iterdir())


@given(rows, st.sampled_from(["8:1:1", "3:1:1", "4:0:1", "1:1:0"]))
def test_split_by_user_has_the_papers_counts(
    posts: list[tuple[str | None, set[str]]], ratio: str
) -> None:
    shares = parse_ratio(ratio)
    parts = divide(frame(posts), SplitRecipe("user", shares, seed=3))
    for user in {user for user, _ in posts}:
        mine = Counter(p for p, (u, _) in zip(parts, posts, strict=True) if u == user)
        n = sum(mine.values())
        train = n * shares[0] // sum(shares)
        validation = (n - train) * shares[1] // max(shares[1] + shares[2], 1)
        assert mine["train"] == train
        assert mine["validation"] == validation
        assert mine["test"] == n - train - validation


def test_split_by_time_learns_nothing_from_the_future(dataset: Dataset) -> None:
    parts = divide(dataset.posts, SplitRecipe("time"))
    times = dataset.posts["time"]
    assert times.filter(parts == "train").max() < times.filter(parts == "validation").min()
    assert times.filter(parts == "validation").max() < times.filter(parts == "test").min()


def test_split_by_time_needs_times(dataset: Dataset) -> None:
    posts = dataset.posts.with_columns(time=pl.lit(None, pl.Datetime("us")))
    with pytest.raises(DatasetError, match="--map time=COLUMN"):
        divide(posts, SplitRecipe("time"))


def test_split_by_column_needs_the_column(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="--map split=COLUMN"):
        divide(dataset.posts, SplitRecipe("column"))


@pytest.mark.parametrize("by", ["user", "random", "time"])
def test_cold_users_are_held_out_whole(dataset: Dataset, by: Any) -> None:
    posts = dataset.posts.with_columns(
        user=pl.when(pl.int_range(pl.len()) % 10 > 0).then("user")  # a tenth of nobody
    )
    parts = divide(posts, SplitRecipe(by, seed=2, cold_users=0.25))
    found = posts.select("user", part=parts).group_by("user").agg(pl.col("part").unique())
    of_user = {user: set(part) for user, part in found.iter_rows()}
    cold = {user for user, part in of_user.items() if part == {"test"}}
    assert len(cold) == 2  # of 8
    assert None not in cold
    # The other posts are divided as if there were no others.
    warm = ~posts["user"].is_in(list(cold)).fill_null(False)
    alone = divide(posts.filter(warm), SplitRecipe(by, seed=2))
    assert parts.filter(warm).equals(alone)
    assert not divide(posts, SplitRecipe(by, seed=3, cold_users=0.25)).equals(parts)


def test_cold_users_do_not_depend_on_the_order_of_posts(dataset: Dataset) -> None:
    recipe = SplitRecipe("random", seed=5, cold_users=0.5)

    def cold(posts: pl.DataFrame) -> set[str]:
        parts = divide(posts, recipe)
        return set(posts["user"]) - set(posts["user"].filter(parts != "test"))

    assert len(cold(dataset.posts)) == 4
    assert cold(dataset.posts) == cold(dataset.posts.reverse())


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_bad_share_of_cold_users(share: float) -> None:
    with pytest.raises(ConfigError, match="share from 0 to below 1"):
        SplitRecipe(cold_users=share)


def test_cold_users_that_cannot_be(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="--by column"):
        SplitRecipe("column", cold_users=0.1)
    with pytest.raises(ConfigError, match=r"0\.01 of 8 users, which is none"):
        divide(dataset.posts, SplitRecipe(cold_users=0.01))
    nobody = dataset.posts.with_columns(user=pl.lit(None, pl.Utf8))
    with pytest.raises(ConfigError, match="of 0 users"):
        divide(nobody, SplitRecipe("random", cold_users=0.5))


def test_equal_seeds_give_equal_splits(dataset: Dataset) -> None:
    first = divide(dataset.posts, SplitRecipe(seed=4))
    assert first.equals(divide(dataset.posts, SplitRecipe(seed=4)))
    assert not first.equals(divide(dataset.posts, SplitRecipe(seed=5)))


def test_stored_split_opens_as_it_was(dataset: Dataset) -> None:
    made = make_split(dataset, "again", SplitRecipe("random", (6, 2, 2), 9, 3, 0.3))
    opened = open_split(dataset, "again")
    assert opened.recipe == made.recipe
    assert opened.parts.equals(made.parts)


def test_a_split_stored_by_an_older_release_opens(dataset: Dataset) -> None:
    made = make_split(dataset, "older", SplitRecipe(seed=3))
    path = dataset.path / "splits" / "older.toml"
    kept = [
        line
        for line in path.read_text().splitlines()
        if not line.startswith(("cold", "#", "sha256"))
    ]
    path.write_text("\n".join(kept))
    opened = open_split(dataset, "older")
    assert opened.recipe == made.recipe
    assert opened.parts.equals(made.parts)


@pytest.mark.parametrize("ratio", ["8:1", "a:b:c", "0:1:1", "8:-1:1"])
def test_bad_ratio(ratio: str) -> None:
    with pytest.raises(ConfigError, match="8:1:1"):
        SplitRecipe(ratio=parse_ratio(ratio))


def test_bad_name_and_absent_split(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="split name"):
        make_split(dataset, "../evil", SplitRecipe())
    with pytest.raises(DatasetError, match="no split 'nope'"):
        open_split(dataset, "nope")


def test_existing_target_is_not_overwritten(dataset: Dataset, tmp_path: Path) -> None:
    filter_dataset(dataset, tmp_path / "x", Filter())
    with pytest.raises(InputError, match="exists already"):
        filter_dataset(dataset, tmp_path / "x", Filter())
    filter_dataset(dataset, tmp_path / "x", Filter(max_posts_per_user=1), replace=True)
    assert Dataset.open(tmp_path / "x").counts["posts"] == 8
