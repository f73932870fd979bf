"""Content kNN: the hashtags of the most similar training posts, weighted by similarity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.comparing import Compare, Voting
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.resemblance import Cosines
from reeltag.models.layers.top import top_k
from reeltag.models.layers.votes import Votes


class ContentKnnConfig(ModelConfig):
    """Settings of `ContentKnn`."""

    neighbours: int = Field(50, ge=1)
    """How many training posts vote."""


class ContentKnn(Voting, Explaining):
    """score(post, j) = Σ of the cosines of the nearest training posts that carry j.

    Each modality is standardised and scaled to length 1, so modalities count alike and a
    missing one is silent: the cosine is then over the modalities that are there. Popular
    hashtags order what no neighbour carries. A training post is never its own neighbour.
    """

    name = "content-knn"
    Config = ContentKnnConfig
    needs_features = True
    config: ContentKnnConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes, {"content": 1.0})
        self.votes = Votes(sizes.hashtags)

    def fit(self, training: TrainingSet) -> None:
        super().fit(training)
        if self.owns("votes"):
            self.votes.fit(training)

    def neighbours(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        """The nearest training posts: cosines (B, n) and positions (B, n), nearest first."""
        return self._nearest(posts, self.resemblance(posts))

    def _nearest(self, posts: PostBatch, cosines: Cosines) -> tuple[Tensor, Tensor]:
        similarity = cosines["content"].clone()
        rows = (posts.own >= 0).nonzero().squeeze(1)
        similarity[rows, posts.own[rows]] = -torch.inf
        nearest = top_k(similarity, self.config.neighbours)
        return similarity.gather(1, nearest).clamp(min=0), nearest

    def encode_compared(self, posts: PostBatch, cosines: Cosines) -> Encoded:
        values, positions = self._nearest(posts, cosines)
        return {"weights": values, "positions": positions}

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 8 * len(self.resemblance.vectors)

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """As `carriers_of`, of the posts that vote."""
        return self.votes.carriers(encoded["weights"][0], encoded["positions"][0], hashtags)

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        if self.owns("votes"):
            self.votes.grow(self.sizes.hashtags)

    def observe_compared(self, posts: PostBatch, hashtags: Ragged, compare: Compare) -> None:
        if self.owns("votes"):
            self.votes.observe(hashtags)
