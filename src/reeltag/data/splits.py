"""Which posts train, which choose, which judge: a dataset in, one part a post out.

    by user     each user's posts at random in the given ratio (GCN-PHR §4.1)
    by random   all posts at random
    by time     oldest posts train, newest test: nothing from the future is learned
    by column   the source's own split (`--map split=COL` at import)

Before that, `cold_users` holds a share of the users out whole; after it, `cold_hashtags` hides
a share of the hashtags from training. Both are drawn by the seed.

A split is `splits/<name>.parquet` (post, part) and `splits/<name>.toml`: how it was made, which
hashtags are cold, and the checksum of the other.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.checksums import check_file
from reeltag.data.dataset import Dataset
from reeltag.data.schema import PARTS
from reeltag.data.vocabulary import Vocabulary
from reeltag.errors import ConfigError, DatasetError
from reeltag.runtime import seed_of
from reeltag.storage import read_toml, write_bytes, write_toml

By = Literal["user", "random", "time", "column"]


@dataclass(frozen=True)
class SplitRecipe:
    """How posts are divided; stored beside the split."""

    by: By = "user"
    ratio: tuple[int, int, int] = (8, 1, 1)
    """Shares of train, validation and test."""
    seed: int = 0
    min_hashtag_uses: int = 1
    """Hashtags with fewer uses in the training part leave the vocabulary."""
    cold_users: float = 0.0
    """Share of the users all of whose posts go to the test part."""
    cold_hashtags: float = 0.0
    """Share of the hashtags of both the training and the test part that training never sees."""

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise ConfigError(f"Got --by {self.by!r}, expected one of {', '.join(get_args(By))}.")
        if len(self.ratio) != 3 or min(self.ratio) < 0 or self.ratio[0] < 1:
            raise ConfigError(
                f"Got --ratio {':'.join(map(str, self.ratio))}, "
                "expected train:validation:test such as 8:1:1."
            )
        if self.min_hashtag_uses < 1:
            raise ConfigError(
                f"Got --min-hashtag-uses {self.min_hashtag_uses}, expected 1 or more."
            )
        for what, share in (("users", self.cold_users), ("hashtags", self.cold_hashtags)):
            if not 0 <= share < 1:
                raise ConfigError(
                    f"Got --cold-{what} {share:g}, expected a share from 0 to below 1."
                )
        if self.cold_users and self.by == "column":
            raise ConfigError(
                f"Got --cold-users {self.cold_users:g} with --by column, but the source's own "
                "split already says where every post goes. Split --by user, random or time."
            )

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> SplitRecipe:
        """Read what TOML or JSON gives back; what an older release did not store is default."""
        known = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
        return cls(**{**known, "ratio": tuple(stored["ratio"])})


@dataclass(frozen=True)
class Split:
    """A stored split: `parts` holds one of train, validation, test or null a post.

    cold: hashtags that training must not see, sorted; see `visible`.
    """

    name: str
    recipe: SplitRecipe
    parts: pl.Series
    cold: tuple[str, ...] = ()

    def rows(self, part: str) -> NDArray[np.int64]:
        """Positions (n,) of the posts of `part` in `dataset.posts`."""
        return self.parts.eq_missing(part).arg_true().to_numpy().astype(np.int64)

    def with_validation(self) -> Split:
        """The same with the validation posts among the training posts."""
        parts = self.parts.replace({"validation": "train"})
        return replace(self, parts=parts)

    def visible(self, posts: pl.DataFrame) -> pl.DataFrame:
        """The posts of the dataset without cold hashtags, which the test part alone keeps.

        `posts` may be some of their columns.
        """
        if not self.cold or "hashtags" not in posts.columns:
            return posts
        seen = pl.col("hashtags").list.filter(~pl.element().is_in(list(self.cold)))
        kept = pl.when(self.parts.eq_missing("test")).then("hashtags").otherwise(seen)
        return posts.with_columns(hashtags=kept)


def parse_ratio(text: str) -> tuple[int, int, int]:
    """Read '8:1:1'. Raises `ConfigError` where it is not three whole numbers."""
    try:
        first, second, third = (int(part) for part in text.split(":"))
    except ValueError:
        raise ConfigError(
            f"Got --ratio {text!r}, expected three whole numbers such as 8:1:1."
        ) from None
    return first, second, third


def divide(posts: pl.DataFrame, recipe: SplitRecipe) -> pl.Series:
    """The part of each post (n,), null where the source's own split leaves a post out."""
    if not recipe.cold_users:
        return _divide(posts, recipe)
    users = posts["user"].drop_nulls().unique()
    cold = posts["user"].is_in(_draw(users, recipe.cold_users, recipe.seed, "users"))
    warm = ~cold.fill_null(False)
    parts = pl.repeat("test", posts.height, eager=True).alias("part")
    return parts.scatter(warm.arg_true(), _divide(posts.filter(warm), recipe))


def _draw(names: pl.Series, share: float, seed: int, what: str) -> list[str]:
    """So large a share of different `names`, drawn by the seed alone, whatever their order."""
    ordered = names.sort()
    count = round(share * len(ordered))
    if not count:
        raise ConfigError(
            f"Got --cold-{what} {share:g} of {len(ordered):,} {what}, which is none. "
            "Give a larger share, or 0."
        )
    drawn = np.random.default_rng(seed_of(seed, f"cold {what}")).permutation(len(ordered))[:count]
    chosen: list[str] = ordered.gather(np.sort(drawn)).to_list()
    return chosen


def _divide(posts: pl.DataFrame, recipe: SplitRecipe) -> pl.Series:
    if recipe.by == "column":
        if posts["part"].null_count() == posts.height:
            raise DatasetError(
                "The posts carry no split of their own. Import with --map split=COLUMN, "
                "or split --by user, random or time."
            )
        return posts["part"]
    if recipe.by == "time" and posts["time"].null_count():
        raise DatasetError(
            f"{posts['time'].null_count()} of {posts.height} posts have no time, so they cannot "
            "be split by time. Import with --map time=COLUMN, or split --by user or random."
        )
    numbers = np.random.default_rng(recipe.seed).permutation(posts.height)
    # Ties in time (many posts in one second) are drawn, so they do not follow file order.
    order = pl.struct("time", "draw") if recipe.by == "time" else pl.col("draw")
    group = ["user"] if recipe.by == "user" else [pl.lit(0)]
    train, validation, test = recipe.ratio
    framed = posts.select("user", "time").with_columns(draw=pl.Series(numbers))
    place = order.rank("ordinal").over(group) - 1
    count = pl.len().over(group).cast(pl.Int64)
    to_train = count * train // (train + validation + test)
    rest = count - to_train
    to_validation = rest * validation // max(validation + test, 1)
    return framed.select(
        pl.when(place < to_train)
        .then(pl.lit("train"))
        .when(place < to_train + to_validation)
        .then(pl.lit("validation"))
        .otherwise(pl.lit("test"))
        .alias("part")
    )["part"]


def draw_cold(posts: pl.DataFrame, parts: pl.Series, recipe: SplitRecipe) -> tuple[str, ...]:
    """The cold hashtags, sorted: a share of those that the vocabulary and the test part have."""
    if not recipe.cold_hashtags:
        return ()
    used = posts.select("hashtags", part=parts).explode("hashtags", empty_as_null=False)
    test = used.filter(pl.col("part") == "test")["hashtags"].unique()
    train = used.filter(pl.col("part") == "train")["hashtags"]
    known = Vocabulary.count(train, recipe.min_hashtag_uses).names
    return tuple(
        _draw(test.filter(test.is_in(known)), recipe.cold_hashtags, recipe.seed, "hashtags")
    )


def make_split(dataset: Dataset, name: str, recipe: SplitRecipe) -> Split:
    """Divide the posts of `dataset` and store the split under `name`, atomically."""
    posts = dataset.columns("user", "time", "part", *(["hashtags"] * (recipe.cold_hashtags > 0)))
    parts = divide(posts, recipe)
    return _store(dataset, Split(name, recipe, parts, draw_cold(posts, parts, recipe)))


def carry_split(source: Dataset, target: Dataset, name: str) -> Split:
    """Give the posts of `target`, all of which `source` has, the parts they have there.

    Cold hashtags stay cold, those that no test post of `target` has are forgotten.
    """
    split = open_split(source, name)
    known = pl.DataFrame({"post": source.posts["post"], "part": split.parts})
    carried = target.posts.select("post").join(known, on="post", how="left", maintain_order="left")
    tests = target.posts["hashtags"].filter(carried["part"].eq_missing("test"))
    there = set(tests.explode(empty_as_null=False))
    cold = tuple(name for name in split.cold if name in there)
    return _store(target, Split(name, split.recipe, carried["part"], cold))


def _store(dataset: Dataset, split: Split) -> Split:
    name, parts = split.name, split.parts
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise ConfigError(f"Got split name {name!r}, expected letters, digits, '-', '_' or '.'.")
    counts = {part: int((parts == part).sum()) for part in PARTS}
    if not counts["train"]:
        raise DatasetError(f"Split {name!r} leaves no post to train on: {counts}.")
    folder = dataset.path / "splits"
    table = io.BytesIO()
    pl.DataFrame({"post": dataset.columns("post")["post"], "part": parts}).write_parquet(table)
    sha256 = hashlib.sha256(table.getbuffer()).hexdigest()
    described = {"format": 1, **asdict(split.recipe), "cold": list(split.cold), "counts": counts}
    write_toml(folder / f"{name}.toml", {**described, "sha256": sha256})
    write_bytes(folder / f"{name}.parquet", table.getvalue())
    return split


def open_split(dataset: Dataset, name: str) -> Split:
    """Open a stored split. Raises `DatasetError` where it is absent or of other posts."""
    path = dataset.path / "splits" / f"{name}.parquet"
    if name not in dataset.splits:
        have = ", ".join(dataset.splits) or "none"
        raise DatasetError(
            f"{dataset.path} has no split {name!r}; it has: {have}. "
            f"Make one: reeltag split {dataset.path} --name {name} --by user"
        )
    described = read_toml(path.with_suffix(".toml"), DatasetError)
    again = f"Make it again: reeltag split {dataset.path} --name {name}"
    check_file(path, described.get("sha256"), DatasetError, again)
    stored = pl.read_parquet(path)
    if not stored["post"].equals(dataset.columns("post")["post"]):
        raise DatasetError(f"{path} was made for other posts. {again}")
    cold = tuple(described.get("cold", ()))
    return Split(name, SplitRecipe.of(described), stored["part"], cold)
