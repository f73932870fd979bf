"""Own kNN: the hashtags of those posts of the same user that are most like this one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.comparing import Compare, ComparingConfig, Voting
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.resemblance import Cosines
from reeltag.models.layers.votes import Votes

_NEAREST = 10
"""Of the user's posts, in what is said of them: all that vote are mostly all the user has."""


class OwnKnnConfig(ComparingConfig):
    """Settings of `OwnKnn`."""

    floor: float = Field(0.02, gt=0)
    """f: the vote of a post of the user that is not alike at all."""
    power: float = Field(2.0, gt=0)
    """p: larger lets the most similar posts decide alone."""


class OwnKnn(Voting, Explaining):
    """score(post, j) = Σ (f + max(0, r(post, q))^p) over posts q of the same user that carry j.

    r is `Comparing`'s: words, pieces of words, and content. With a large floor f it is
    `user-history`, with a small one the user's most similar posts decide. Popular hashtags
    order what the user never used, and are all there is for a user never seen. A training
    post is never its own neighbour.
    """

    name = "own-knn"
    Config = OwnKnnConfig
    needs_users = True
    needs_words = True
    needs_pieces = True
    config: OwnKnnConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        assert isinstance(config, OwnKnnConfig)
        super().__init__(config, sizes, config.parts)
        self.votes = Votes(sizes.hashtags)
        self.buffer("own_offsets", torch.zeros(sizes.users + 1, dtype=torch.int64))
        self.buffer("own_posts", torch.zeros(0, dtype=torch.int64))

    def fit(self, training: TrainingSet) -> None:
        super().fit(training)
        if self.owns("votes"):
            self.votes.fit(training)
        users = training.posts.users
        posts = (users >= 0).nonzero().squeeze(1)
        of_users = Ragged.from_pairs(users[posts], posts, self.sizes.users)
        self.own_offsets, self.own_posts = of_users.offsets, of_users.values

    def encode_compared(self, posts: PostBatch, cosines: Cosines) -> Encoded:
        """Their users' posts, -1 beyond the last, and the vote of each: (B, most of a user)."""
        known = posts.users >= 0
        # One row more than users: that of nobody, empty.
        lists = Ragged(self.own_posts, torch.cat([self.own_offsets, self.own_offsets[-1:]]))
        positions = lists.select(posts.users.where(known, len(lists) - 1)).padded()
        counts = known.unsqueeze(1) & (positions >= 0) & (positions != posts.own.unsqueeze(1))
        positions = positions.clamp(min=0)
        alike = self.likeness(cosines, lambda part: part.gather(1, positions)).clamp(min=0)
        weights = (self.config.floor + alike.pow(self.config.power)) * counts
        return {"weights": weights, "positions": positions}

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 24 * len(self.own_posts)

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """As `carriers_of`, of the ten posts of the user most like this one."""
        voting = encoded["weights"][0]
        weights, first = torch.topk(voting, min(_NEAREST, int((voting > 0).sum())))
        positions = encoded["positions"][0, first]
        cosines = (weights - self.config.floor).clamp(min=0).pow(1 / self.config.power)
        return self.votes.carriers(cosines, positions, hashtags)

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        if self.owns("votes"):
            self.votes.grow(self.sizes.hashtags)
        lists = Ragged(self.own_posts, self.own_offsets).longer(self.sizes.users)
        self.own_offsets = lists.offsets

    def observe_compared(self, posts: PostBatch, hashtags: Ragged, compare: Compare) -> None:
        if self.owns("votes"):
            self.votes.observe(hashtags)
        count = torch.arange(len(posts), device=posts.users.device)
        count += len(self.votes.offsets) - 1 - len(posts)
        known = posts.users >= 0
        lists = Ragged(self.own_posts, self.own_offsets)
        lists = lists.with_added(posts.users[known], count[known])
        self.own_posts, self.own_offsets = lists.values, lists.offsets
