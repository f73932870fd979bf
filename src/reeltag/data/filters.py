"""A dataset in, a smaller dataset out: minimum uses, active users, capped users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ConfigError(f"Got {name}={value}, expected 0 (off) or more.")


def filter_dataset(
    dataset: Dataset, target: Path, rules: Filter, *, replace: bool = False
) -> Dataset:
    """Write the posts of `dataset` that pass `rules`, with their features, to `target`.

    Splits are not carried over: they belong to the posts they were made on.
    Raises `DatasetError` where nothing passes.
    """
    kept = apply_filter(dataset.posts, rules)
    if kept.is_empty():
        raise DatasetError(f"No post of {dataset.path} passes {rules}. Loosen the rules.")
    rows = kept["row"].to_numpy().astype(np.int64)
    source = {
        **dataset.description["source"],
        "filtered_from": dataset.path.name,
        "filter": vars(rules),
    }
    return Dataset.create(
        target,
        kept.drop("row"),
        source=source,
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
    before = -1
    while before != uses.height:
        before = uses.height
        if rules.min_hashtag_uses:
            often = pl.len().over("hashtags") >= rules.min_hashtag_uses
            uses = uses.filter(pl.col("hashtags").is_not_null() & often)
        if rules.min_user_posts:
            active = pl.col("row").n_unique().over("user") >= rules.min_user_posts
            uses = uses.filter(pl.col("user").is_not_null() & active)
    tags = uses.group_by("row", maintain_order=True).agg(pl.col("hashtags").drop_nulls())
    return posts.drop("hashtags").join(tags, on="row", how="inner", maintain_order="left")
