"""Content kNN: the hashtags of the most similar training posts, weighted by similarity."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, Model, ModelConfig, Sizes
from reeltag.models.layers.modalities import ModalityInput

_BLOCK = 8192


class ContentKnnConfig(ModelConfig):
    """Settings of `ContentKnn`."""

    neighbours: int = Field(50, ge=1)
    """How many training posts vote."""


class ContentKnn(Model):
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
        super().__init__(config, sizes)
        self.input = ModalityInput(sizes.manifests, unit=True)
        self.buffer("backoff", torch.zeros(sizes.hashtags))
        self.buffer("vectors", torch.zeros(0, self.input.width))
        self.buffer("own_offsets", torch.zeros(1, dtype=torch.int64))
        self.buffer("own_tags", torch.zeros(0, dtype=torch.int64))

    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)
        count = len(training.posts)
        starts = range(0, count, _BLOCK)
        blocks = [torch.arange(start, min(start + _BLOCK, count)) for start in starts]
        self.vectors = torch.cat([self._unit(training.batch(block)) for block in blocks])
        _, hashtags = training.triples
        uses = torch.bincount(hashtags, minlength=self.sizes.hashtags).double()
        # Far below any cosine that matters: decides only where no neighbour votes.
        self.backoff = (1e-6 * uses / (1 + uses.max())).float()
        self.own_offsets, self.own_tags = training.posts.hashtags.offsets, hashtags

    def _unit(self, posts: PostBatch) -> Tensor:
        return torch.nn.functional.normalize(self.input(posts), dim=1)

    def neighbours(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        """The nearest training posts: cosines (B, n) and positions (B, n), nearest first."""
        similarity = self._unit(posts) @ self.vectors.T
        rows = (posts.own >= 0).nonzero().squeeze(1)
        similarity[rows, posts.own[rows]] = -torch.inf
        count = min(self.config.neighbours, similarity.shape[1])
        near = torch.topk(similarity, count, dim=1)
        return near.values.clamp(min=0), near.indices

    def encode(self, posts: PostBatch) -> Encoded:
        cosines, positions = self.neighbours(posts)
        return {"cosines": cosines, "positions": positions}

    def score_all(self, encoded: Encoded) -> Tensor:
        cosines, positions = encoded["cosines"], encoded["positions"]
        B, n = positions.shape
        scores = self.backoff.repeat(B, 1)
        tags = Ragged(self.own_tags, self.own_offsets)
        where, owner = tags.positions(positions.reshape(-1))
        flat = torch.div(owner, n, rounding_mode="floor") * self.sizes.hashtags
        flat = flat + self.own_tags[where]
        scores.view(-1).index_add_(0, flat, cosines.reshape(-1)[owner])
        return scores

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 8 * len(self.vectors)
