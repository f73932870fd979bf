"""Music, place and hour in, the hashtags that went with them in training out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.contexts import HOURS, clock_of
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.uses import UserUses
from reeltag.models.observing import Observing

KINDS = ("music", "place", "hour")
"""What posts may have in common, in the order of the columns of "values"."""
_CLOCK = 2 * HOURS
_WORKING = 5
"""Days of the week from Monday on that are none of the weekend."""


class ContextConfig(ModelConfig):
    """Settings of `Context`."""

    smoothing: float = Field(3.0, gt=0)
    """a of music and places: posts' worth of belief in plain popularity that each starts with."""
    hour_smoothing: float = Field(30.0, gt=0)
    """a of hours."""


class Context(Explaining, Observing):
    """score = p(j) Π_c p(j | c) / p(j), over the music, the place and the hour of the post.

        p(j)     = (posts with j + ½) / (posts + 1)
        p(j | c) = (posts with c and j + a p(j)) / (posts with c + a)

    Naive Bayes: a hashtag twice as common with this music as it usually is counts twice, and
    twice that if it is twice as common at this place too. Music on a posts is half believed.
    An hour is one of 24 of a working day or of 24 of the weekend, UTC, and only looked at where
    training posts have times. What a post lacks, or training has seen on one post alone,
    changes nothing: a post without any of them gets the popular hashtags.

    A training post's own context and hashtags are taken off the counts of p(j | c) when that
    post is asked about; p(j) is of all training posts.

    Raises `MissingFeatureError` where training posts have no music, no place and no time.
    """

    name = "context"
    Config = ContextConfig
    config: ContextConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        widths = (*sizes.contexts, _CLOCK * sizes.timed)
        if not any(widths):
            raise MissingFeatureError(
                "context reads music, place and time, but no training post has a time and no music "
                "or place is on two of them. Expected a column for one (reeltag import --map "
                "music=COL --map place=COL --map time=COL)."
            )
        self.known = [column for column, width in enumerate(widths) if width]
        self.starts = (0, widths[0], widths[0] + widths[1])
        self.uses = UserUses(sum(widths), sizes.hashtags)
        self.buffer("popular", torch.zeros(sizes.hashtags))
        self.buffer("posts_with", torch.zeros(sum(widths)))

    def fit(self, training: TrainingSet) -> None:
        values = self._values(training.posts.contexts, training.posts.times)
        self.uses.fit(training, values)
        self.popular = self._shares()
        self.posts_with = self._counted(values)

    def _values(self, contexts: Tensor, times: Tensor) -> Tensor:
        """What each post has of each kind (n, 3), all kinds numbered together; -1 for nothing."""
        hour, weekday = clock_of(times)
        known = (hour < HOURS) & self.sizes.timed
        clock = torch.where(known, hour + HOURS * (weekday >= _WORKING), -1)
        values = torch.cat([contexts, clock.unsqueeze(1)], 1)
        return torch.where(values >= 0, values + values.new_tensor(self.starts), -1)

    def _counted(self, values: Tensor) -> Tensor:
        return torch.bincount(values[values >= 0], minlength=self.uses.users).float()

    def _shares(self) -> Tensor:
        """p(j) of every hashtag (H,)."""
        return ((self.uses.of_all() + 0.5) / len(self.uses.own_offsets)).float()

    def encode(self, posts: PostBatch) -> Encoded:
        return {"values": self._values(posts.contexts, posts.times), "own": posts.own}

    def _lifts(self, encoded: Encoded) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
        """Of each kind that training has: its name, the posts with what the post has (B,), how
        many of these carry each hashtag (B, H), and p(j | c) / p(j), 1 where nothing is known.
        """
        own, c = encoded["own"], self.config
        for column in self.known:
            kind, values = KINDS[column], encoded["values"][:, column]
            known = values >= 0
            count = torch.where(known, self.posts_with[values.clamp(min=0)], 0.0)
            count = count - (known & (own >= 0)).float()
            uses = self.uses(values, own)
            belief = c.hour_smoothing if kind == "hour" else c.smoothing
            usual = (count + belief).unsqueeze(1) * self.popular
            yield kind, count, uses, (uses + belief * self.popular) / usual

    def score_all(self, encoded: Encoded) -> Tensor:
        scores = self.popular
        for _, _, _, lift in self._lifts(encoded):
            scores = scores * lift
        return scores

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 4 * 4 * self.sizes.hashtags

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`contexts` that raise it, most first: `posts` of the `of` with this `kind` carry it."""
        found: list[list[tuple[float, Facts]]] = [[] for _ in hashtags]
        for kind, count, uses, lifts in self._lifts(encoded):
            asked = uses[0, hashtags].tolist(), lifts[0, hashtags].tolist()
            for about, carrying, lift in zip(found, *asked, strict=True):
                if carrying and lift > 1:
                    fact = {"kind": kind, "posts": int(carrying), "of": int(count[0])}
                    about.append((lift, fact))
        told = [[fact for _, fact in sorted(a, key=lambda fact: -fact[0])] for a in found]
        return [{"contexts": facts} if facts else {} for facts in told]

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        self.uses.grow(self.uses.users, self.sizes.hashtags)
        self.popular = self._shares()

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        values = self._values(posts.contexts, posts.times)
        self.uses.observe(values, hashtags)
        self.popular = self._shares()
        self.posts_with = self.posts_with + self._counted(values)
