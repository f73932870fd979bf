"""UTM: user-conditional hashtag prediction by a 3-way gate (Denton et al., KDD 2015)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import Encoded, Factorised, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.users import UserVectors
from reeltag.models.layers.warp import warp_loss


class UtmConfig(ModelConfig):
    """Settings of `Utm`."""

    dim: int = Field(64, ge=1)
    """Width d of the joint space of posts and hashtags."""
    user_dim: int = Field(32, ge=1)
    """Width of the learned user vector u."""
    margin: float = Field(1.0, gt=0)
    """m of WARP: how far a hashtag on the post should score above one that is not."""


class Utm(Factorised, Trained):
    """The user gates every dimension of the post's vector before it meets the hashtag's.

        s = ((W_v v + b_v) ⊙ (W_u u + b_u)) · (W_t t)

    with v the standardised features, u the user profile and W_t t one learned vector a
    hashtag. Loss: WARP over the drawn negatives (`warp_loss`).

    Departures from the paper: its profile is metadata (age, gender, place); posts here carry
    none, so the profile is a learned vector a user, as GCN-PHR's comparison needs. The two
    biases are ours: b_u starts at 1, so that training begins at the plain bilinear model,
    and b_v lets a post without features be scored by its user. A user never seen in
    training has the mean profile. Negatives are tried up to the number drawn, not to H.
    """

    name = "utm"
    Config = UtmConfig
    needs_users = True
    needs_features = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 3e-3,
        "weight_decay": 1e-3,
        "negatives": 20,
        "batch_size": 256,
    }
    config: UtmConfig

    def __init__(self, config: UtmConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.input = ModalityInput(sizes.manifests)
        self.user = UserVectors(sizes.users, config.user_dim)
        self.post_in = nn.Linear(self.input.width, config.dim)
        self.user_in = nn.Linear(config.user_dim, config.dim)
        nn.init.ones_(self.user_in.bias)
        self.hashtag = nn.Parameter(torch.randn(sizes.hashtags, config.dim) * 0.1)

    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)

    def encode(self, posts: PostBatch) -> Encoded:
        gate = self.user_in(self.user(posts.users))
        return {"query": self.post_in(self.input(posts)) * gate}

    def hashtag_vectors(self) -> Tensor:
        return self.hashtag

    def loss(self, batch: TrainingBatch) -> Tensor:
        candidates = torch.cat([batch.positives.unsqueeze(1), batch.negatives], 1)
        scores = self.score_pairs(self.encode(batch.posts), candidates)
        return warp_loss(scores[:, 0], scores[:, 1:], self.sizes.hashtags, self.config.margin)
