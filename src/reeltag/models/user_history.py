"""MostPopular-by-user: the hashtags a user used most, then the ones everybody uses most."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.growing import by_use
from reeltag.models.layers.scores import Listed
from reeltag.models.layers.uses import UserUses
from reeltag.models.listing import Listing
from reeltag.models.sharing import Sharing


class UserHistory(Listing, Explaining, Sharing):
    """score(post, j) = uses of j by the post's user + uses by all / (1 + most uses of any).

    The second term is below 1: it orders what the user never used, and settles ties. A
    training post's own use is left out when that post is the one asked about. A user never
    seen in training gets the popular hashtags.
    """

    name = "user-history"

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.buffer("backoff", torch.zeros(sizes.hashtags))
        self.uses = UserUses(sizes.users, sizes.hashtags)

    def fit(self, training: TrainingSet) -> None:
        if self.owns("uses"):
            self.uses.fit(training)
        self.backoff = by_use(self.uses.of_all())

    def encode(self, posts: PostBatch) -> Encoded:
        return {"users": posts.users, "own": posts.own}

    def listed(self, encoded: Encoded) -> Listed:
        counts = self.uses.listed(encoded["users"], encoded["own"])
        usual = self.backoff
        return Listed(counts.rows, usual[counts.rows.values] + counts.values, usual)

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`uses`: the user's posts that carry it."""
        counts = self.uses(posts.users, posts.own)[0, hashtags].tolist()
        return [{"uses": int(uses)} if uses else {} for uses in counts]

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        if self.owns("uses"):
            self.uses.grow(self.sizes.users, self.sizes.hashtags)
        self.backoff = by_use(self.uses.of_all())

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        if self.owns("uses"):
            self.uses.observe(posts.users, hashtags)
        self.backoff = by_use(self.uses.of_all())
