"""What a post is, as columns: the one schema every importer writes and everything else reads.

post      Utf8, unique        the post's id
user      Utf8, null          who posted it; null where nobody is known
time      Datetime(us), null  UTC
caption   Utf8                the text without its hashtags; "" where there is none
hashtags  List(Utf8)          normalised, unique within a post, in the order written
clip      Utf8, null          path of the video, absolute or relative to the dataset's source
place     Utf8, null          optional context
music     Utf8, null          optional context
part      Utf8, null          the source's own split: train, validation or test
"""

from __future__ import annotations

import polars as pl

from reeltag.errors import DatasetError

POSTS: dict[str, pl.DataType] = {
    "post": pl.Utf8(),
    "user": pl.Utf8(),
    "time": pl.Datetime("us"),
    "caption": pl.Utf8(),
    "hashtags": pl.List(pl.Utf8()),
    "clip": pl.Utf8(),
    "place": pl.Utf8(),
    "music": pl.Utf8(),
    "part": pl.Utf8(),
}
"""Column name to polars type, in the order they are stored."""

COUNTED = ("user", "posts", "first", "last")
"""Columns of `users.parquet` that are counted; any other one is a field of the users."""

MODALITIES = ("visual", "acoustic", "textual")
PARTS = ("train", "validation", "test")


def conform(posts: pl.DataFrame) -> pl.DataFrame:
    """Give `posts` exactly the schema's columns: absent optional ones become null.

    Raises `DatasetError` where `post` is absent, null or repeated.
    """
    if "post" not in posts.columns:
        raise DatasetError(f"Posts need a column 'post'; got {posts.columns}.")
    posts = posts.select(
        (pl.col(name) if name in posts.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in POSTS.items()
    ).with_columns(
        pl.col("caption").fill_null(""),
        pl.col("hashtags").fill_null(pl.lit([], dtype=POSTS["hashtags"])),
    )
    if posts["post"].null_count():
        raise DatasetError("Posts need an id each; got a row whose 'post' is empty.")
    if posts["post"].n_unique() != posts.height:
        twice = posts.filter(pl.col("post").is_duplicated())["post"][0]
        raise DatasetError(f"Post ids must be unique; {twice!r} stands more than once.")
    return posts


def users_of(posts: pl.DataFrame, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row a user, most active first: user, posts, first, last (times, may be null).

    `known`: a row a user with a column `user`; its other columns are fields of the users
    (gender, age, country ...) and follow. Users without a post are left out. Raises
    `DatasetError` where a user stands twice in it, or a field holds lists.
    """
    counted = (
        posts.lazy()
        .filter(pl.col("user").is_not_null())
        .group_by("user")
        .agg(
            pl.len().cast(pl.Int64).alias("posts"),
            pl.col("time").min().alias("first"),
            pl.col("time").max().alias("last"),
        )
        .sort(["posts", "user"], descending=[True, False])
        .collect()
    )
    if known is None:
        return counted
    return counted.join(_fields_of(known), on="user", how="left", maintain_order="left")


def _fields_of(known: pl.DataFrame) -> pl.DataFrame:
    """`user` as text and the columns of `known` that are fields."""
    if "user" not in known.columns:
        raise DatasetError(f"What is known about users needs a column 'user'; got {known.columns}.")
    fields = known.select(
        pl.col("user").cast(pl.Utf8), *(name for name in known.columns if name not in COUNTED)
    )
    if fields["user"].drop_nulls().is_duplicated().any():
        twice = fields.filter(pl.col("user").is_duplicated())["user"].drop_nulls()[0]
        raise DatasetError(f"What is known about users has {twice!r} twice; expected a row each.")
    for name, kind in fields.schema.items():
        if kind.is_nested() or kind in (pl.Object, pl.Binary):
            raise DatasetError(f"Field {name!r} of the users is {kind}, expected text or numbers.")
    return fields
