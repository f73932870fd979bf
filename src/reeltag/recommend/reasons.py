"""A post and a recommended hashtag in, true reasons out: facts about the training posts.

    history   how often the user used it
    similar   how many of the most similar training posts carry it, and which
    word      a caption word that went with it in training, or that spells it
    popular   where nothing else is true: how often everybody used it
    heed      which frames, seconds of sound and words the hashtag heeded (`reeltag.recommend.heed`)
    look      where the model looked, of models that tell (`reeltag.recommend.look`)

Similar posts and caption words count only where the hashtag is clearly more frequent
among them than everywhere, so a word such as "the" never explains a popular hashtag.

These reasons are counted, never guessed; a model need not have looked at the same facts, so
they say why the hashtag is plausible, not what the model computed. The last two kinds alone
are about the model; `look` is the same for all hashtags of a post. Models that take their
scores apart have reasons of their own (`reeltag.recommend.contributions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.pooled import pooled
from reeltag.data.vocabulary import Vocabulary
from reeltag.training.evidence import Evidence
from reeltag.words import words as words_in

_MIN_SHARE = 0.1
_MIN_LIFT = 1.5
"""A fact is a reason only where the hashtag is so much more frequent than among all posts."""


@dataclass(frozen=True)
class Reason:
    """One true sentence and the facts in it."""

    kind: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)
    contribution: float | None = None
    """Share of what raised the hashtag, of models that tell; None for what is counted."""

    def as_json(self) -> dict[str, Any]:
        """For the contract's list of reasons."""
        share = {} if self.contribution is None else {"contribution": round(self.contribution, 4)}
        return {"kind": self.kind, "text": self.text, **share, **self.facts}


class Reasons:
    """Reads reasons from a run's evidence."""

    def __init__(self, evidence: Evidence, hashtags: Vocabulary) -> None:
        self.evidence, self.hashtags = evidence, hashtags

    def _share(self, tag: int) -> float:
        """Share of the training posts that carry the hashtag."""
        return float(self.hashtags.counts[tag]) / max(self.evidence.posts.height, 1)

    def of(
        self, ids: Sequence[int], posts: PostBatch, user: int, caption: str
    ) -> list[list[Reason]]:
        """Reasons for each hashtag of `ids`, for the one post in `posts`."""
        history = self._history(user)
        similar = self._similar(posts)
        words = self._words(caption)
        spelled = set(words_in(caption))
        return [
            [
                *self._history_reason(tag, history),
                *self._similar_reason(tag, similar),
                *self._word_reason(tag, words, spelled),
            ]
            or [self._popular_reason(tag)]
            for tag in ids
        ]

    def _history(self, user: int) -> tuple[dict[int, int], int]:
        if user < 0:
            return {}, 0
        own = self.evidence.posts.filter(pl.col("user") == user)
        counted = own.select(pl.col("hashtags").explode(empty_as_null=False).value_counts())
        pairs = counted.unnest("hashtags").iter_rows()
        return dict(pairs), own.height

    def _history_reason(self, tag: int, history: tuple[dict[int, int], int]) -> list[Reason]:
        uses, posts = history[0].get(tag, 0), history[1]
        if not uses:
            return []
        text = f"you used it on {uses} of your {posts} posts"
        return [Reason("history", text, {"uses": uses, "posts": posts})]

    def _similar(self, posts: PostBatch) -> pl.DataFrame:
        nearest = self.evidence.nearest
        if nearest is None or not any(bool(p.any()) for p in posts.present.values()):
            return self.evidence.posts.clear().with_columns(cosine=pl.lit(0.0))
        with torch.no_grad():
            cosines, positions = nearest.neighbours(pooled(posts))
        rows = self.evidence.posts[positions[0].cpu().numpy()]
        near = rows.with_columns(cosine=pl.Series(cosines[0].cpu().numpy().astype(np.float64)))
        return near.filter(pl.col("cosine") > 0)

    def _similar_reason(self, tag: int, similar: pl.DataFrame) -> list[Reason]:
        carriers = similar.filter(pl.col("hashtags").list.contains(tag))
        if carriers.height <= _MIN_LIFT * self._share(tag) * similar.height:
            return []
        count, of = carriers.height, similar.height
        text = f"{count} of the {of} most similar posts carr{'y' if count > 1 else 'ies'} it"
        named = carriers.head(3).filter(pl.col("post").is_not_null())
        facts = {
            "posts": named["post"].to_list(),
            "cosines": [round(c, 3) for c in named["cosine"].to_list()],
        }
        return [Reason("similar", text, {"count": count, "of": of, **facts})]

    def _words(self, caption: str) -> pl.DataFrame:
        words = sorted(set(words_in(caption)))
        table = self.evidence.words
        return table.filter(pl.col("word").is_in(words)).with_columns(
            share=pl.col("posts") / pl.col("word_posts")
        )

    def _word_reason(self, tag: int, words: pl.DataFrame, spelled: set[str]) -> list[Reason]:
        name = self.hashtags.names[tag]
        if name in spelled:
            return [Reason("word", f"the caption says ‘{name}’", {"word": name})]
        least = max(_MIN_SHARE, _MIN_LIFT * self._share(tag))
        best = words.filter((pl.col("hashtag") == tag) & (pl.col("share") >= least)).sort(
            ["share", "posts", "word"], descending=[True, True, False]
        )
        if best.is_empty():
            return []
        word, posts, of = best["word"][0], best["posts"][0], best["word_posts"][0]
        text = f"‘{word}’ in the caption: {posts} of {of} posts with that word carry it"
        return [Reason("word", text, {"word": word, "posts": posts, "of": of})]

    def _popular_reason(self, tag: int) -> Reason:
        uses, posts = int(self.hashtags.counts[tag]), self.evidence.posts.height
        text = f"used on {uses:,} of {posts:,} training posts"
        return Reason("popular", text, {"uses": uses, "posts": posts})
