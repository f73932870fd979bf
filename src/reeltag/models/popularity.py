"""MostPopular: the same hashtags for everybody, by their uses in training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.growing import longer
from reeltag.models.layers.scores import Listed
from reeltag.models.listing import Listing
from reeltag.models.observing import Observing


class Popularity(Listing, Explaining, Observing):
    """score(post, j) = number of training posts that carry j."""

    name = "popularity"

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.buffer("uses", torch.zeros(sizes.hashtags))

    def fit(self, training: TrainingSet) -> None:
        _, hashtags = training.triples
        self.uses = torch.bincount(hashtags, minlength=self.sizes.hashtags).float()

    def encode(self, posts: PostBatch) -> Encoded:
        return {"users": posts.users}

    def listed(self, encoded: Encoded) -> Listed:
        nobody = Ragged.empty(len(encoded["users"])).to(self.device)
        return Listed(nobody, self.uses[:0], self.uses)

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`uses`: training posts that carry it."""
        return [{"uses": int(uses)} if uses else {} for uses in self.uses[hashtags].tolist()]

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        self.uses = longer(self.uses, self.sizes.hashtags)

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        self.uses = self.uses + torch.bincount(hashtags.values, minlength=self.sizes.hashtags)
