"""Own kNN: the hashtags of those posts of the same user that are most like this one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.comparing import Comparing
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.layers.resemblance import Cosines, Part
from reeltag.models.layers.votes import Votes


class OwnKnnConfig(ModelConfig):
    """Settings of `OwnKnn`."""

    neighbours: int = Field(200, ge=1)
    """How many of the user's posts vote at most."""
    floor: float = Field(0.02, gt=0)
    """f: the vote of a post of the user that is not alike at all."""
    power: float = Field(2.0, gt=0)
    """p: larger lets the most similar posts decide alone."""
    words: float = Field(0.3, ge=0)
    """Weight of whole words in the likeness."""
    pieces: float = Field(0.3, gt=0)
    """Weight of the pieces of words."""
    content: float = Field(0.4, ge=0)
    """Weight of the features, where there are any."""


class OwnKnn(Comparing):
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
        parts: dict[Part, float] = {
            "words": config.words,
            "pieces": config.pieces,
            "content": config.content,
        }
        super().__init__(config, sizes, parts)
        self.votes = Votes(sizes.hashtags)
        self.buffer("users", torch.zeros(0, dtype=torch.int64))

    def fit(self, training: TrainingSet) -> None:
        super().fit(training)
        self.votes.fit(training)
        self.users = training.posts.users.clone()

    def encode_compared(self, posts: PostBatch, cosines: Cosines) -> Encoded:
        likeness = self.likeness(cosines).clamp(min=0)
        weights = self.config.floor + likeness.pow(self.config.power)
        weights = weights * (self.users == posts.users.clamp(min=-1).unsqueeze(1))
        weights = weights * (posts.users >= 0).unsqueeze(1)
        rows = (posts.own >= 0).nonzero().squeeze(1)
        weights[rows, posts.own[rows]] = 0
        near = torch.topk(weights, min(self.config.neighbours, weights.shape[1]), dim=1)
        return {"weights": near.values, "positions": near.indices}

    def score_all(self, encoded: Encoded) -> Tensor:
        scores: Tensor = self.votes(encoded["weights"], encoded["positions"])
        return scores

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 24 * len(self.users)

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        self.votes.grow(self.sizes.hashtags)

    def observe_compared(self, posts: PostBatch, hashtags: Ragged, cosines: Cosines) -> None:
        self.votes.observe(hashtags)
        self.users = torch.cat([self.users, posts.users])
