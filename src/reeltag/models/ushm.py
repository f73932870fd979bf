"""USHM: user-specific hashtag model by a three-way tensor product (Veit et al., CVPR 2018)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import Encoded, Factorised, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.users import UserVectors


class UshmConfig(ModelConfig):
    """Settings of `Ushm`."""

    rank: int = Field(64, ge=1)
    """R: how many factors a post, a user and a hashtag share."""


class Ushm(Factorised, Trained):
    """Post, user and hashtag meet in a three-way tensor product of rank R.

        s = Σ_r (W_v v + b)_r (U_i)_r (T_j)_r

    User factors U_i and hashtag factors T_j are learned from (post, user, hashtag) triples:
    the same hashtag may mean different content for different users. Loss: softmax of the
    post's hashtag among itself and the drawn ones, -ln(e^{s+} / (e^{s+} + Σ e^{s-})).

    Departures from the paper: a hashtag's share of the full softmax is replaced by a share
    among drawn hashtags, since a step cannot rank the catalogue for every triple; U_i starts
    around 1, where the model is the user-agnostic bilinear one, and b lets a post without
    features be scored. A user never seen in training has the mean of the user factors.
    """

    name = "ushm"
    Config = UshmConfig
    needs_users = True
    needs_features = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 3e-3,
        "weight_decay": 1e-3,
        "negatives": 20,
        "batch_size": 256,
    }
    config: UshmConfig

    def __init__(self, config: UshmConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.input = ModalityInput(sizes.manifests)
        self.post_in = nn.Linear(self.input.width, config.rank)
        self.user = UserVectors(sizes.users, config.rank, around=1.0)
        self.hashtag = nn.Parameter(torch.randn(sizes.hashtags, config.rank) * 0.1)

    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)

    def encode(self, posts: PostBatch) -> Encoded:
        return {"query": self.post_in(self.input(posts)) * self.user(posts.users)}

    def hashtag_vectors(self) -> Tensor:
        return self.hashtag

    def loss(self, batch: TrainingBatch) -> Tensor:
        candidates = torch.cat([batch.positives.unsqueeze(1), batch.negatives], 1)
        scores = self.score_pairs(self.encode(batch.posts), candidates)
        return cross_entropy(scores, torch.zeros_like(batch.positives))
