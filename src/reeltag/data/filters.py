"""A dataset in, a smaller dataset out: minimum uses, active users, capped users, balanced tops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError, DatasetError


@dataclass(frozen=True)
class Filter:
    """What to keep. Zero switches a rule off.

    The rules are applied together until nothing changes any more (a k-core): dropping a
    rare hashtag can empty a post, dropping a post can make a user inactive, and so on.
    """

    min_hashtag_uses: int = 0
    """A hashtag stays if at least so many posts carry it; posts left without one go."""
    min_user_posts: int = 0
    """A user stays with at least so many posts; posts of nobody go as well."""
    max_posts_per_user: int = 0
    """Keep each user's newest posts (by time, then by stored order), at most so many."""
    balance_top: int = 0
    """N: down-sample the N most common hashtags to the frequency of the one after them.

    UHMAN (Liu et al., 2020, §3.1) down-sampled "the 150 most common hashtags to make them
    similar in frequency to other hashtags", without saying how. Here: let m be the uses of
    the (N+1)-th most common hashtag once the other rules hold (ties by name). Each of the N
    keeps a random m of its uses and leaves its other posts, which stay unless that was their
    last hashtag. Then the other rules are applied again: where they take something away,
    hashtags may have fewer than m uses, never more.
    """
    seed: int = 0
    """Of the draw of `balance_top`."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ConfigError(f"Got {name}={value}, expected 0 or more (0 switches it off).")


def filter_dataset(
    dataset: Dataset, target: Path, rules: Filter, *, replace: bool = False
) -> Dataset:
    """Write the posts of `dataset` that pass `rules`, with their features, to `target`.

    Splits are not carried over: they belong to the posts they were made on.
    Raises `DatasetError` where nothing passes, and `ConfigError` where there are too few
    hashtags to balance.
    """
    kept = apply_filter(dataset.posts, rules)
    if kept.is_empty():
        raise DatasetError(f"No post of {dataset.path} passes {rules}. Loosen the rules.")
    return _write(dataset, target, kept, {"filter": vars(rules)}, replace)


def restrict_dataset(
    dataset: Dataset, target: Path, hashtags: pl.Series, name: str, *, replace: bool = False
) -> Dataset:
    """Write the posts that carry one of `hashtags`, with these alone, to `target`.

    `name` says which hashtags they are. Raises `DatasetError` where no post has one.
    """
    kept = apply_restriction(dataset.posts, hashtags)
    if kept.is_empty():
        raise DatasetError(f"No post of {dataset.path} has one of the {name} hashtags.")
    return _write(dataset, target, kept, {"hashtags": name}, replace)


def apply_restriction(posts: pl.DataFrame, hashtags: pl.Series) -> pl.DataFrame:
    """Posts that carry one of `hashtags`, with these alone and their old position as `row`."""
    wanted = pl.element().is_in(hashtags.implode())
    kept = posts.with_row_index("row").with_columns(pl.col("hashtags").list.filter(wanted))
    return kept.filter(pl.col("hashtags").list.len() > 0)


def _write(
    dataset: Dataset, target: Path, kept: pl.DataFrame, how: dict[str, Any], replace: bool
) -> Dataset:
    rows = kept["row"].to_numpy().astype(np.int64)
    return Dataset.create(
        target,
        kept.drop("row"),
        source={**dataset.description["source"], "filtered_from": dataset.path.name, **how},
        features=(dataset.feature(name).select(rows) for name in dataset.features),
        users=dataset.users,
        replace=replace,
    )


def apply_filter(posts: pl.DataFrame, rules: Filter) -> pl.DataFrame:
    """Posts that pass, with their old position as column `row` and their kept hashtags."""
    posts = posts.with_row_index("row")
    if rules.max_posts_per_user:
        newest = pl.struct(pl.col("time").fill_null(pl.datetime(1, 1, 1)), "row").rank("ordinal")
        place = newest.over("user") + rules.max_posts_per_user
        posts = posts.filter(pl.col("user").is_null() | (place > pl.len().over("user")))
    uses = posts.select("row", "user", "hashtags").explode("hashtags", empty_as_null=True)
    uses = _core(uses, rules)
    if rules.balance_top:
        uses = _core(_balance(uses, rules), rules)
    tags = uses.group_by("row", maintain_order=True).agg(pl.col("hashtags").drop_nulls())
    return posts.drop("hashtags").join(tags, on="row", how="inner", maintain_order="left")


def _core(uses: pl.DataFrame, rules: Filter) -> pl.DataFrame:
    """The uses (row, user, hashtags) that pass the rules on hashtags and users together."""
    before = -1
    while before != uses.height:
        before = uses.height
        if rules.min_hashtag_uses:
            often = pl.len().over("hashtags") >= rules.min_hashtag_uses
            uses = uses.filter(pl.col("hashtags").is_not_null() & often)
        if rules.min_user_posts:
            active = pl.col("row").n_unique().over("user") >= rules.min_user_posts
            uses = uses.filter(pl.col("user").is_not_null() & active)
    return uses


def _balance(uses: pl.DataFrame, rules: Filter) -> pl.DataFrame:
    """`uses` without those that make the top hashtags more common than the one after them."""
    counted = (
        uses.drop_nulls("hashtags")
        .group_by("hashtags")
        .len()
        .sort(["len", "hashtags"], descending=[True, False])
    )
    if counted.height <= rules.balance_top:
        raise ConfigError(
            f"Got balance_top={rules.balance_top:,}, but {counted.height:,} hashtags are left: "
            "expected fewer than there are, so that one is there to compare with."
        )
    most = counted["hashtags"].head(rules.balance_top)
    draw = np.random.default_rng(rules.seed).permutation(uses.height)
    place = pl.col("draw").rank("ordinal").over("hashtags")
    stays = ~pl.col("hashtags").is_in(most.implode()).fill_null(False) | (
        place <= int(counted["len"][rules.balance_top])
    )
    return uses.with_columns(draw=pl.Series(draw)).filter(stays).drop("draw")
