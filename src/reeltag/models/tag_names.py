"""Tag names: hashtags whose own name the caption spells, in whole or in part."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.data.vocabulary import UNKNOWN
from reeltag.errors import MissingFeatureError
from reeltag.hashtags import split_by
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import NAMED, Explaining, Facts
from reeltag.models.layers.growing import by_use, longer
from reeltag.models.layers.postings import Shares
from reeltag.models.observing import Observing
from reeltag.words import pieces, whole
from reeltag.words import words as words_in


class TagNamesConfig(ModelConfig):
    """Settings of `TagNames`."""

    power: float = Field(2.0, gt=0)
    """p: larger believes only in names that are nearly whole."""
    exact: float = Field(1.0, ge=0)
    """Weight of a name that the caption spells, in one word or in neighbouring ones."""
    words: float = Field(0.3, ge=0)
    """Weight of the words in a name that the caption has."""


class TagNames(Explaining, Observing):
    """score(post, j) = exact [j is spelt] + words · share(words of j) + share(pieces of j)^p

        share(terms of j) = Σ_{t of j and of the caption} idf(t)² / Σ_{t of j} idf(t)²

    Pieces are runs of letters (`reeltag.words.pieces`), so `steuererklärung` is found for
    `#steuern`, and `#hartofdixie` for `hart of dixie`. Names are cut into words where the
    product of the words' frequencies in the training captions is largest
    (`reeltag.hashtags.split_by`): no word list and no language is assumed. idf is over
    hashtags for pieces, over training captions for words. Popularity orders the rest.

    Raises `MissingFeatureError` where the training captions hold no words.
    """

    name = "tag-names"
    Config = TagNamesConfig
    needs_words = True
    needs_pieces = True
    config: TagNamesConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        if not sizes.words:
            raise MissingFeatureError(
                "tag-names reads captions, but no word is in two or more of the training "
                "captions. Models that read no captions: popularity, user-history, content-knn."
            )
        self.buffer("uses", torch.zeros(sizes.hashtags, dtype=torch.int64))
        self.pieces, self.words, self.wholes = Shares(), Shares(), Shares()

    def fit(self, training: TrainingSet) -> None:
        H = self.sizes.hashtags
        self.uses = torch.bincount(training.triples[1], minlength=H)
        names, words = training.hashtags.names, training.words
        terms = _pieces(names)
        _, place, carriers = torch.unique(terms.values, return_inverse=True, return_counts=True)
        self.pieces.fit(terms, ((1 + H) / carriers[place].double()).log().square().float())
        self.wholes.fit(_wholes(names), torch.ones(H))
        total = max(1, int(words.counts.sum()))
        costs = {
            word: -log10(count / total)
            for word, count in zip(words.names, words.counts.tolist(), strict=True)
        }
        cut = ({words.id_of(word) for word in split_by(name, costs)} for name in names)
        parts = Ragged.from_lists([sorted(found - {UNKNOWN}) for found in cut])
        seen = torch.from_numpy(words.counts)[parts.values].double()
        idf = ((1 + len(training.posts)) / seen).log()
        self.words.fit(parts, idf.square().float())

    def encode(self, posts: PostBatch) -> Encoded:
        c = self.config
        scores: Tensor = self.pieces(posts.pieces).pow_(c.power)
        self.wholes(posts.pieces, c.exact, scores)
        self.words(posts.words, c.words, scores)
        return {"scores": scores.add_(by_use(self.uses, 1e-6))}

    def score_all(self, encoded: Encoded) -> Tensor:
        return encoded["scores"]

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`whole`: its name is spelt; `words` of it in the caption; `pieces`: their share."""
        shares = self.pieces(posts.pieces)[0, hashtags].tolist()
        said = [
            {
                "whole": len(self.wholes.common(posts.pieces, tag)) > 0,
                "words": self.words.common(posts.words, tag)[:NAMED].tolist(),
                "pieces": share,
            }
            for tag, share in zip(hashtags.tolist(), shares, strict=True)
        ]
        return [about if any(about.values()) else {} for about in said]

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        """New names are found whole and by their pieces; into words they are not cut."""
        super().grow(users, hashtags)
        if not hashtags:
            return
        H = self.sizes.hashtags
        self.uses = longer(self.uses, H)
        self.wholes.add(_wholes(hashtags).to(self.device))
        self.words.add(Ragged.empty(len(hashtags)).to(self.device))
        terms = _pieces(hashtags).to(self.device)
        self.pieces.add(terms, lambda carriers: ((1 + H) / carriers.double()).log().square())

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        self.uses = self.uses + torch.bincount(hashtags.values, minlength=self.sizes.hashtags)


def _pieces(names: Sequence[str]) -> Ragged:
    return Ragged.from_lists([pieces(name) for name in names])


def _wholes(names: Sequence[str]) -> Ragged:
    return Ragged.from_lists([[whole("".join(words_in(name)))] for name in names])
