"""ConTagNet: a content tower and a user-context tower (Rawat and Kankanhalli, ACM MM 2016)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from reeltag.data.batches import PostBatch
from reeltag.data.contexts import DAYS, HOURS, clock_of
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, Factorised, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.share import dropout, mean
from reeltag.models.layers.users import UserVectors


class ConTagNetConfig(ModelConfig):
    """Settings of `ConTagNet`."""

    dim: int = Field(128, ge=1)
    """Width of each tower's output and of the joint layer."""
    user_dim: int = Field(32, ge=1)
    """Width of the learned user vector."""
    time_dim: int = Field(8, ge=1)
    """Width of the learned vectors of the hour and of the weekday."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of the joint layer's units left out of a training step."""


class ConTagNet(Factorised, Trained):
    """Content and context, concatenated, fully connected to one logit a hashtag.

        a = ReLU(W_v v + b_v)                          content
        c = ReLU(W_c [u; hour; weekday] + b_c)         user context
        z = ReLU(W_z [a; c] + b_z)
        logits = W_t z + b_t

    Loss: binary cross entropy between all H logits and the post's whole set of training
    hashtags, summed over hashtags, averaged over posts. The trainer hands over triples, in
    which a post with n hashtags comes n times an epoch, so each counts 1/n: posts are the
    examples, as in the paper, and every post counts alike. Drawn negatives are not used.

    Departures from the paper: its convolutional tower is replaced by a layer over the
    extracted features of all modalities (as in GCN-PHR's comparison). Its context has the
    place of a photo, which posts here do not carry. Hour and weekday are of UTC, each with a
    value for "unknown". b_t starts at the hashtags' log odds. A user never seen in training
    has the mean user vector.
    """

    name = "contagnet"
    Config = ConTagNetConfig
    needs_users = True
    needs_features = True
    training_defaults: ClassVar[dict[str, Any]] = {"learning_rate": 1e-3, "batch_size": 256}
    config: ConTagNetConfig

    def __init__(self, config: ConTagNetConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        c, D = config, config.dim
        self.input = ModalityInput(sizes.manifests)
        self.user = UserVectors(sizes.users, c.user_dim)
        self.hour = nn.Parameter(torch.randn(HOURS + 1, c.time_dim) * 0.1)
        self.weekday = nn.Parameter(torch.randn(DAYS + 1, c.time_dim) * 0.1)
        self.content = nn.Linear(self.input.width, D)
        self.context = nn.Linear(c.user_dim + 2 * c.time_dim, D)
        self.joint = nn.Linear(2 * D, D)
        self.out = nn.Linear(D, sizes.hashtags)
        self._offsets: Tensor
        self._tags: Tensor
        empty = torch.zeros(1, dtype=torch.int64)
        self.register_buffer("_offsets", empty, persistent=False)
        self.register_buffer("_tags", empty[:0], persistent=False)

    @torch.no_grad()
    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)
        tags = training.posts.hashtags
        self._offsets, self._tags = tags.offsets, tags.values
        share = torch.bincount(tags.values, minlength=self.sizes.hashtags).double()
        share = (share + 0.5) / (len(training.posts) + 1)
        self.out.bias.copy_((share / (1 - share)).log())

    def encode(self, posts: PostBatch) -> Encoded:
        hour, weekday = clock_of(posts.times)
        context = torch.cat([self.user(posts.users), self.hour[hour], self.weekday[weekday]], 1)
        towers = [relu(self.content(self.input(posts))), relu(self.context(context))]
        joint = dropout(relu(self.joint(torch.cat(towers, 1))), self.config.dropout, self.training)
        return {"query": torch.cat([joint, joint.new_ones(len(joint), 1)], 1)}

    def hashtag_vectors(self) -> Tensor:
        # The bias is the factor of a constant 1 at the end of the query.
        return torch.cat([self.out.weight, self.out.bias.unsqueeze(1)], 1)

    def loss(self, batch: TrainingBatch) -> Tensor:
        carried = Ragged(self._tags, self._offsets).select(batch.posts.own)
        labels = carried.dense(self.sizes.hashtags).to(self.out.weight.dtype)
        logits = self.score_all(self.encode(batch.posts))
        each = binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1)
        weight = 1 / carried.lengths.to(each.dtype)
        return mean((weight * each).sum(), weight.sum())
