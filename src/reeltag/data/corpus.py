"""A dataset and a split in, numbers out: what models train on and are judged by.

`Corpus.training` is all a model ever learns from: its vocabularies, posts and features
are those of the training part alone, so nothing of a validation or test post can leak
into a count, a graph, a history or a normaliser. Cold hashtags of the split stand in the
vocabulary, as names without a use: training and validation posts are read without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from reeltag.data.batches import NO_TIME, FeatureReader, PostBatch, no_contexts
from reeltag.data.contexts import CONTEXT_COLUMNS, Contexts
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature, Kind, Manifest
from reeltag.data.profiles import Fields
from reeltag.data.ragged import Ragged
from reeltag.data.splits import Split, open_split
from reeltag.data.vocabulary import UNKNOWN, Vocabulary
from reeltag.errors import DatasetError, MissingFeatureError
from reeltag.words import pieces_column, words_column

MIN_WORD_POSTS = 2
"""A word of fewer training captions is no word of the vocabulary."""


NO_FEATURES = FeatureReader([])


@dataclass(frozen=True)
class Posts:
    """Some posts as numbers, n of them.

    rows (n,) positions in the dataset; users (n,) ids or -1; hashtags: ids of those in the
    vocabulary; outside (n,): how many of the post's hashtags the vocabulary lacks;
    times (n,) seconds since 1970 or `NO_TIME`; words: ids of the caption's distinct words
    that the vocabulary of words holds; fields (n, F): codes of what is known about the user;
    pieces: of the caption's words (`reeltag.words.pieces`), empty where no model reads them;
    contexts (n, 2): ids of music and place, or -1.
    """

    rows: Tensor
    users: Tensor
    hashtags: Ragged
    outside: Tensor
    times: Tensor
    words: Ragged
    fields: Tensor
    pieces: Ragged = field(default_factory=Ragged.empty)
    contexts: Tensor = field(default_factory=lambda: no_contexts(0))

    def __post_init__(self) -> None:
        if not len(self.contexts):
            object.__setattr__(self, "contexts", no_contexts(len(self), self.rows.device))

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, index: Tensor) -> Posts:
        """The posts at positions `index`."""
        return Posts(
            self.rows[index],
            self.users[index],
            self.hashtags.select(index),
            self.outside[index],
            self.times[index],
            self.words.select(index),
            self.fields[index],
            self.pieces.select(index),
            self.contexts[index],
        )

    def to(self, device: torch.device | str) -> Posts:
        """The same on another device."""
        return Posts(
            self.rows.to(device),
            self.users.to(device),
            self.hashtags.to(device),
            self.outside.to(device),
            self.times.to(device),
            self.words.to(device),
            self.fields.to(device),
            self.pieces.to(device),
            self.contexts.to(device),
        )


@dataclass(frozen=True)
class TrainingSet:
    """Everything a model may learn from: the training posts and nothing else."""

    posts: Posts
    hashtags: Vocabulary
    users: Vocabulary
    words: Vocabulary
    """Words of at least `MIN_WORD_POSTS` training captions; empty where no model reads them."""
    fields: Fields
    """What the codes in `posts.fields` mean."""
    reader: FeatureReader
    read_captions: Callable[[], pl.Series] = field(repr=False)
    """Reads `captions`."""
    contexts: Contexts = field(default_factory=Contexts)
    """What the ids in `posts.contexts` mean."""

    @property
    def manifests(self) -> dict[str, Manifest]:
        """The features in use, by name."""
        return self.reader.manifests

    @cached_property
    def captions(self) -> pl.Series:
        """Captions of the training posts (n,), hashtags already removed."""
        return self.read_captions()

    @cached_property
    def triples(self) -> tuple[Tensor, Tensor]:
        """Every (post, hashtag) use: training position (m,) and hashtag id (m,)."""
        return self.posts.hashtags.row_of_value, self.posts.hashtags.values

    def hiding(self, hashtags: Tensor) -> TrainingSet:
        """The same as if no post carried the `hashtags` (n,): names of the catalogue, unused."""
        owner, tags = self.triples
        kept = ~torch.isin(tags, hashtags)
        counts = self.hashtags.counts.copy()
        counts[hashtags.numpy()] = 0
        carried = Ragged.from_pairs(owner[kept], tags[kept], len(self.posts))
        return replace(
            self,
            posts=replace(self.posts, hashtags=carried),
            hashtags=Vocabulary(self.hashtags.names, counts.tolist()),
        )

    def batch(self, index: Tensor, features: bool = True) -> PostBatch:
        """Training posts at positions `index` (n,) as model input; knows they are its own."""
        return batch_of(self.reader if features else NO_FEATURES, self.posts, index, own=index)


class Corpus:
    """The three parts of a split, in the numbering of its training part."""

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        features: Sequence[str] | None = None,
        hashtags: Vocabulary | None = None,
        users: Vocabulary | None = None,
        words: Vocabulary | Literal["count", "none"] = "none",
        fields: Fields | None = None,
        reads: Kind = "vector",
        pieces: bool = False,
        contexts: Contexts | None = None,
    ) -> None:
        """Number the posts of `dataset`.

        Args:
            features: names of the features to read; default those of the kind `reads`.
            fields, contexts: those of a stored run; default those of the training part.
            hashtags, users: vocabularies of a stored run; default those of the training part.
            words: the vocabulary of caption words of a stored run, or whether to count one.
            pieces: read the pieces of captions' words too.
        """
        self.dataset, self.split, self.reads_pieces = dataset, split, pieces
        self._reads: Kind = reads
        train = self.columns("user", "hashtags", *CONTEXT_COLUMNS)[split.rows("train")]
        if hashtags is None:
            hashtags = Vocabulary.count(
                train["hashtags"].explode(empty_as_null=True), split.recipe.min_hashtag_uses
            ).with_unused(split.cold)
        if not hashtags.counts.any():
            raise DatasetError(
                f"No hashtag is used {split.recipe.min_hashtag_uses} times or more in the training "
                f"part of split {split.name!r}, so there is nothing to recommend."
            )
        self.hashtags = hashtags
        self.users = Vocabulary.count(train["user"]) if users is None else users
        if words == "none":
            words = Vocabulary([], [])
        elif words == "count":
            counted = self._words.gather(split.rows("train")).explode(empty_as_null=False)
            words = Vocabulary.count(counted, MIN_WORD_POSTS)
        self.words = words
        if fields is None:
            fields = Fields.fit(dataset.users.filter(pl.col("user").is_in(self.users.names)))
        self.fields = fields
        self.contexts = Contexts.count(train) if contexts is None else contexts
        self.reader = FeatureReader(choose_features(dataset, features, reads))

    def columns(self, *names: str) -> pl.DataFrame:
        """Columns of all posts as models may see them: cold hashtags are on test posts alone."""
        return self.split.visible(self.dataset.columns(*names))

    @property
    def posts(self) -> pl.DataFrame:
        """All columns (`columns`)."""
        return self.split.visible(self.dataset.posts)

    @cached_property
    def _words(self) -> pl.Series:
        return words_column(self.columns("caption")["caption"])

    @cached_property
    def _pieces(self) -> pl.Series:
        return pieces_column(self.columns("caption")["caption"])

    @cached_property
    def training(self) -> TrainingSet:
        """What models learn from."""

        def captions() -> pl.Series:
            return self.columns("caption")["caption"].gather(self.split.rows("train"))

        return TrainingSet(
            self.part("train"),
            self.hashtags,
            self.users,
            self.words,
            self.fields,
            self.reader,
            captions,
            self.contexts,
        )

    def part(self, part: str) -> Posts:
        """The posts of train, validation or test."""
        return self.posts_at(self.split.rows(part))

    def posts_at(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Posts:
        """The posts at `rows` of the dataset, numbered by this corpus's vocabularies."""
        chosen = self.columns("user", "hashtags", "time", *CONTEXT_COLUMNS)[rows]
        lengths = chosen["hashtags"].list.len().to_numpy().astype(np.int64)
        owner = torch.from_numpy(np.repeat(np.arange(len(rows)), lengths))
        ids = torch.from_numpy(
            self.hashtags.ids_of(chosen["hashtags"].explode(empty_as_null=False)).copy()
        )
        known = ids != UNKNOWN
        hashtags = Ragged.from_pairs(owner[known], ids[known], len(rows))
        times = chosen["time"].dt.epoch("s").fill_null(NO_TIME).to_numpy().astype(np.int64)
        return Posts(
            rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
            users=torch.from_numpy(self.users.ids_of(chosen["user"]).copy()),
            hashtags=hashtags,
            outside=torch.from_numpy(lengths) - hashtags.lengths,
            times=torch.from_numpy(times.copy()),
            words=self._words_at(rows),
            fields=self.fields.codes(self.dataset.users, chosen["user"]),
            pieces=self._pieces_at(rows),
            contexts=self.contexts.ids(chosen),
        )

    def with_validation(self, keep: bool = False) -> Corpus:
        """The same with the validation posts among the training posts, for a last fit.

        No hashtag enters or leaves, and hashtags and users keep their ids; users of validation
        posts alone follow. Counts, words, music, places and what is known of users are taken anew.
        With `keep` words keep their ids too, new ones following, and so do codes of what is known
        about users: for what was trained with these ids.
        """
        split = self.split.with_validation()
        columns = split.visible(self.dataset.columns("user", "hashtags"))
        train = columns[split.rows("train")]
        words: Vocabulary | Literal["count", "none"] = "count" if len(self.words) else "none"
        if keep and len(self.words):
            said = self._words.gather(split.rows("train")).explode(empty_as_null=False)
            words = self.words.recounted(said, grow=True, minimum=MIN_WORD_POSTS)
        return Corpus(
            self.dataset,
            split,
            list(self.reader.manifests),
            self.hashtags.recounted(train["hashtags"].explode(empty_as_null=True)),
            self.users.recounted(train["user"], grow=True),
            words,
            self.fields if keep else None,
            reads=self._reads,
            pieces=self.reads_pieces,
        )

    def _words_at(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Ragged:
        if not len(self.words):
            return Ragged.empty(len(rows))
        chosen = self._words.gather(rows)
        lengths = torch.from_numpy(chosen.list.len().to_numpy().astype(np.int64))
        owner = torch.repeat_interleave(torch.arange(len(rows)), lengths)
        ids = torch.from_numpy(self.words.ids_of(chosen.explode(empty_as_null=False)).copy())
        return Ragged.from_pairs(owner[ids >= 0], ids[ids >= 0], len(rows))

    def _pieces_at(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Ragged:
        if not self.reads_pieces:
            return Ragged.empty(len(rows))
        chosen = self._pieces.gather(rows)
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(chosen.list.len().to_numpy(), out=offsets[1:])
        values = chosen.explode(empty_as_null=False).to_numpy()
        return Ragged(torch.from_numpy(values.astype(np.int64)), torch.from_numpy(offsets))

    def batch(self, posts: Posts, index: Tensor) -> PostBatch:
        """Posts at positions `index` of `posts` as model input."""
        return batch_of(self.reader, posts, index)


def batch_of(
    reader: FeatureReader,
    posts: Posts,
    index: Tensor,
    own: Tensor | None = None,
    among: Tensor | None = None,
) -> PostBatch:
    """Model input of the posts at positions `index` (B,) of `posts`.

    `among`: positions of a larger batch, to whose longest post steps are padded.
    """
    whole = None if among is None else posts.rows[among]
    vectors, present, steps = reader.read(posts.rows[index], whole)
    if own is None:
        own = torch.full_like(index, -1)
    return PostBatch(
        posts.users[index],
        vectors,
        present,
        own,
        posts.times[index],
        posts.words.select(index),
        posts.fields[index],
        steps,
        posts.pieces.select(index),
        posts.contexts[index],
    )


def open_corpus(
    dataset: Dataset,
    split: str,
    features: Sequence[str] | None = None,
    words: Literal["count", "none"] = "none",
    reads: Kind = "vector",
    pieces: bool = False,
) -> Corpus:
    """The corpus of a stored split."""
    chosen = open_split(dataset, split)
    return Corpus(dataset, chosen, features, words=words, reads=reads, pieces=pieces)


def choose_features(
    dataset: Dataset, names: Sequence[str] | None, reads: Kind = "vector"
) -> list[Feature]:
    """Open the named features, or by default those that a model which `reads` a kind is for.

    vector: every vector feature. sequence: for each modality its sequences, else its
    vectors. grid: every grid, else every vector. A bare modality (`visual`) stands for such
    features of that modality. Raises `MissingFeatureError` where a name matches none or its
    kind cannot be read.
    """
    manifests = dataset.features
    usual = _usual(manifests, reads)
    if names is None:
        return [dataset.feature(name) for name in usual]
    chosen: list[str] = []
    for wanted in names:
        found = (
            [wanted]
            if wanted in manifests
            else [name for name in usual if manifests[name].modality == wanted]
        )
        if not found:
            raise MissingFeatureError(
                f"{dataset.path} has no feature {wanted!r}; it has: "
                f"{', '.join(manifests) or 'none'}. Make one: reeltag extract {dataset.path} "
                "--visual efficientnet-lite1 --acoustic logmel --textual minilm"
            )
        for name in found:
            kind = manifests[name].kind
            if kind not in ("vector", reads):
                raise MissingFeatureError(
                    f"Feature {name!r} is a {kind}; this model reads a vector"
                    f"{'' if reads == 'vector' else f' or a {reads}'} a post."
                )
        chosen += [name for name in found if name not in chosen]
    return [dataset.feature(name) for name in chosen]


def _usual(manifests: Mapping[str, Manifest], reads: Kind) -> list[str]:
    vectors = [name for name, manifest in manifests.items() if manifest.kind == "vector"]
    own = [name for name, manifest in manifests.items() if manifest.kind == reads]
    if reads == "sequence":
        have = {manifests[name].modality for name in own}
        return own + [name for name in vectors if manifests[name].modality not in have]
    return own or vectors
