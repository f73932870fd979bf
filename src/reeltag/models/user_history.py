"""MostPopular-by-user: the hashtags a user used most, then the ones everybody uses most."""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.uses import UserUses


class UserHistory(Explaining):
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
        _, hashtags = training.triples
        uses = torch.bincount(hashtags, minlength=self.sizes.hashtags).double()
        self.backoff = (uses / (1 + uses.max())).float()
        self.uses.fit(training)

    def encode(self, posts: PostBatch) -> Encoded:
        return {"users": posts.users, "own": posts.own}

    def score_all(self, encoded: Encoded) -> Tensor:
        counts: Tensor = self.uses(encoded["users"], encoded["own"])
        return self.backoff + counts

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`uses`: the user's posts that carry it."""
        counts = self.uses(posts.users, posts.own)[0, hashtags].tolist()
        return [{"uses": int(uses)} if uses else {} for uses in counts]
