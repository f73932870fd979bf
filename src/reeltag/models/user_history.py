"""MostPopular-by-user: the hashtags a user used most, then the ones everybody uses most."""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, Model, ModelConfig, Sizes


class UserHistory(Model):
    """score(post, j) = uses of j by the post's user + uses by all / (1 + most uses of any).

    The second term is below 1: it orders what the user never used, and settles ties. A
    training post's own use is left out when that post is the one asked about. A user never
    seen in training gets the popular hashtags.
    """

    name = "user-history"

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.buffer("backoff", torch.zeros(sizes.hashtags))
        self.buffer("history_offsets", torch.zeros(sizes.users + 1, dtype=torch.int64))
        self.buffer("history_tags", torch.zeros(0, dtype=torch.int64))
        self.buffer("history_uses", torch.zeros(0))
        self.buffer("own_offsets", torch.zeros(1, dtype=torch.int64))
        self.buffer("own_tags", torch.zeros(0, dtype=torch.int64))

    def fit(self, training: TrainingSet) -> None:
        H = self.sizes.hashtags
        posts, hashtags = training.triples
        uses = torch.bincount(hashtags, minlength=H).double()
        self.backoff = (uses / (1 + uses.max())).float()
        users = training.posts.users[posts]
        known = users >= 0
        keys, counts = torch.unique(users[known] * H + hashtags[known], return_counts=True)
        history = Ragged.from_pairs(keys // H, keys % H, self.sizes.users)
        self.history_offsets, self.history_tags = history.offsets, history.values
        self.history_uses = counts.float()
        self.own_offsets, self.own_tags = training.posts.hashtags.offsets, hashtags

    def encode(self, posts: PostBatch) -> Encoded:
        return {"users": posts.users, "own": posts.own}

    def score_all(self, encoded: Encoded) -> Tensor:
        users, own = encoded["users"], encoded["own"]
        scores = self.backoff.repeat(len(users), 1)
        rows = (users >= 0).nonzero().squeeze(1)
        history = Ragged(self.history_tags, self.history_offsets)
        positions, owner = history.positions(users[rows])
        scores[rows[owner], self.history_tags[positions]] += self.history_uses[positions]
        rows = ((own >= 0) & (users >= 0)).nonzero().squeeze(1)
        if len(rows):
            positions, owner = Ragged(self.own_tags, self.own_offsets).positions(own[rows])
            scores[rows[owner], self.own_tags[positions]] -= 1
        return scores
