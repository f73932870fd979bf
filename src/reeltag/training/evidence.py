"""What of the training posts is kept beside a model so that reasons can be read from it.

    evidence/posts.parquet      post id, user id and hashtag ids of each training post
    evidence/words.parquet      word, hashtag, posts: training captions with the word that
                                carry the hashtag; word_posts: those with the word at all
    evidence/nearest.safetensors  a fitted content-knn, where there are features;
                                of sequences and grids it compares the means

No caption is kept: a run can be shared without the texts it learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from safetensors.torch import load_file

from reeltag.data.batches import PostBatch, collate
from reeltag.data.corpus import TrainingSet
from reeltag.data.pooled import pooled, pooled_manifests, pooled_reader
from reeltag.data.ragged import Ragged
from reeltag.errors import RunError
from reeltag.models.content_knn import ContentKnn, ContentKnnConfig
from reeltag.models.contract import Sizes
from reeltag.storage import write_bytes, write_parquet
from reeltag.training.tensors import tensor_file
from reeltag.words import words, words_column

NEIGHBOURS = 20
"""Most similar training posts that reasons look at."""
_MIN_WORD_POSTS = 2
_MAX_WORD_POSTS_SHARE = 0.1
"""A word in more than this share of the captions says nothing about a hashtag."""
_MOST_WAITING = 256
"""Published posts that wait, at most: they hold their features."""
_COUNTED = {"word": pl.Utf8, "hashtag": pl.Int64, "posts": pl.UInt32, "word_posts": pl.UInt32}


class Evidence:
    """Opened evidence of a run. Published posts wait until words or neighbours are looked at:

    models that give reasons of their own seldom need them, and many posts at once cost little more
    than one.
    """

    def __init__(
        self, posts: pl.DataFrame, words: pl.DataFrame, nearest: ContentKnn | None
    ) -> None:
        self.posts = posts
        self._words, self._nearest = words, nearest
        self._waiting: list[_Published] = []

    @property
    def words(self) -> pl.DataFrame:
        """How often words go with hashtags (`word_counts`)."""
        self._settle()
        return self._words

    @property
    def nearest(self) -> ContentKnn | None:
        """Finds the most similar posts, where there are features."""
        self._settle()
        return self._nearest

    def with_posts(
        self,
        names: Sequence[str],
        users: Sequence[int],
        tags: Sequence[Sequence[int]],
        captions: Sequence[str],
        posts: PostBatch,
    ) -> Evidence:
        """This one, with B published posts, `posts` as model input; ids may be new ones.

        Words are counted where they are listed with the hashtag: a word that never went with
        it in training gives no reason.
        """
        rows = pl.DataFrame({"post": names, "user": users, "hashtags": tags}, self.posts.schema)
        self.posts = self.posts.extend(rows)
        self._waiting.append(_Published(tags, captions, pooled(posts)))
        if sum(len(some.captions) for some in self._waiting) >= _MOST_WAITING:
            self._settle()
        return self

    def _settle(self) -> None:
        if not self._waiting:
            return
        tags = [row for some in self._waiting for row in some.tags]
        captions = [caption for some in self._waiting for caption in some.captions]
        posts = collate([some.posts for some in self._waiting])
        self._waiting = []
        if self._nearest is not None:
            new = max([-1, *(tag for row in tags for tag in row)]) + 1
            self._nearest.grow(hashtags=[""] * max(0, new - self._nearest.sizes.hashtags))
            self._nearest.observe(posts, Ragged.from_lists(tags))
        said = pl.DataFrame(
            {"word": [words(caption) for caption in captions], "hashtag": tags},
            {"word": pl.List(pl.Utf8), "hashtag": pl.List(pl.Int64)},
        )
        self._words = _counted_on(self._words, said)


@dataclass(frozen=True)
class _Published:
    tags: Sequence[Sequence[int]]
    captions: Sequence[str]
    posts: PostBatch


def _counted_on(table: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """`table` as `word_counts` gives it, with posts more: their words and hashtags, in lists."""
    spoken = said.select(word=pl.col("word").list.unique(), hashtag=pl.col("hashtag"))
    spoken = spoken.explode("word", empty_as_null=False)
    new, more = pl.len().alias("new"), spoken.group_by("word").agg(pl.len().alias("more"))
    if not table["word"].is_in(more["word"].implode()).any():
        return table
    pairs = spoken.explode("hashtag", empty_as_null=False).group_by("word", "hashtag").agg(new)
    joined = table.join(more, on="word", how="left", maintain_order="left").join(
        pairs, on=["word", "hashtag"], how="left", maintain_order="left"
    )
    return joined.select(
        "word",
        "hashtag",
        posts=pl.col("posts") + pl.col("new").fill_null(0),
        word_posts=pl.col("word_posts") + pl.col("more").fill_null(0),
    ).cast(table.schema)


def save_evidence(
    folder: Path, training: TrainingSet, post_ids: pl.Series, whole: bool = True
) -> None:
    """Write the evidence of the training posts, whose ids are `post_ids` (n,).

    Not `whole`: who posted what with which hashtags, without words and nearest posts.
    """
    posts = training.posts
    owner, tags = training.triples
    carried = (
        pl.DataFrame({"row": owner.numpy(), "hashtags": tags.numpy()})
        .group_by("row")
        .agg(pl.col("hashtags"))
    )
    table = (
        pl.DataFrame({"post": post_ids, "user": posts.users.numpy()})
        .with_row_index("row")
        .with_columns(pl.col("row").cast(pl.Int64))
        .join(carried, on="row", how="left", maintain_order="left")
        .select("post", "user", pl.col("hashtags").fill_null(pl.lit([], dtype=pl.List(pl.Int64))))
    )
    write_parquet(folder / "posts.parquet", table)
    if not whole:
        return
    write_parquet(folder / "words.parquet", word_counts(training.captions, table["hashtags"]))
    vectors = replace(training, reader=pooled_reader(training.reader, posts.rows))
    if vectors.manifests:
        model = ContentKnn(ContentKnnConfig(neighbours=NEIGHBOURS), Sizes.of(vectors))
        model.fit(vectors)
        write_bytes(folder / "nearest.safetensors", *tensor_file(model.tensors()))


def word_counts(captions: pl.Series, hashtags: pl.Series) -> pl.DataFrame:
    """How often a caption's word goes with a hashtag: word, hashtag, posts, word_posts."""
    pairs = pl.DataFrame({"word": words_column(captions), "hashtag": hashtags}).lazy()
    pairs = pairs.explode("word")
    totals = pairs.group_by("word").agg(pl.len().alias("word_posts"))
    most = max(_MIN_WORD_POSTS, int(_MAX_WORD_POSTS_SHARE * len(captions)))
    return (
        pairs.explode("hashtag")
        .drop_nulls()
        .group_by("word", "hashtag")
        .agg(pl.len().alias("posts"))
        .join(totals, on="word")
        .filter((pl.col("posts") >= _MIN_WORD_POSTS) & (pl.col("word_posts") <= most))
        .sort("word", "posts", "hashtag", descending=[False, True, False])
        .collect()
    )


def load_evidence(folder: Path, sizes: Sizes) -> Evidence:
    """Open what `save_evidence` wrote. Raises `RunError` where it is damaged."""
    try:
        posts = pl.read_parquet(folder / "posts.parquet")
        file = folder / "words.parquet"
        words = pl.read_parquet(file) if file.is_file() else pl.DataFrame(schema=_COUNTED)
        nearest = None
        if (folder / "nearest.safetensors").is_file():
            vectors = replace(sizes, manifests=pooled_manifests(sizes.manifests))
            nearest = ContentKnn(ContentKnnConfig(neighbours=NEIGHBOURS), vectors)
            nearest.load_tensors(load_file(folder / "nearest.safetensors"))
    except (OSError, pl.exceptions.PolarsError, KeyError, ValueError) as fault:
        raise RunError(f"{folder} cannot be read: {fault}. Train again.") from fault
    return Evidence(posts, words, nearest)
