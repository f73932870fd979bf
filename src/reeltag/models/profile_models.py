"""UHMAN's baselines: the video, and what is known about the user, in one common space.

    bilinear        BL    s = (W_v v + b_v) · (W_t t)                          no user at all
    user-additive   UA    s = (W_v v + W_u u + b) · (W_t t)
    three-way       3WM   s = ((W_v v + b_v) ⊙ (W_u u + b_u)) · (W_t t)

with v the standardised features of the video, u its user's metadata (one-hot fields and past
hashtags, each through a linear layer, as in UHMAN) and W_t t a learned vector a hashtag
(Liu et al., 2020, §3.2; Denton et al., KDD 2015). Loss: WARP with UHMAN's margin.

UA and 3WM read metadata, UTM (`reeltag.models.utm`) a learned vector a user.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import Encoded, Factorised, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.profile import ProfileParts
from reeltag.models.uhman import ranking_loss


class ProfileModelConfig(ModelConfig):
    """Settings of `Bilinear`, `UserAdditive` and `ThreeWay`."""

    dim: int = Field(32, ge=1)
    """Width of the common space; of each piece of metadata too."""
    margin: float = Field(0.1, gt=0)
    """m: how far a hashtag on the post should score above one that is not."""
    loss: Literal["warp", "margin"] = "warp"
    """`warp` weighs a violation by the estimated rank; `margin` does not."""


class Bilinear(Factorised, Trained):
    """BL: s = (W_v v + b_v) · (W_t t). Knows nothing of the user."""

    name = "bilinear"
    Config = ProfileModelConfig
    needs_features = True
    by_post = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 3e-3,
        "negatives": 20,
        "batch_size": 64,
    }
    config: ProfileModelConfig

    def __init__(self, config: ProfileModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.input = ModalityInput(sizes.manifests)
        self.post_in = nn.Linear(self.input.width, config.dim)
        self.hashtag = nn.Parameter(torch.randn(sizes.hashtags, config.dim) * 0.1)

    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)

    def encode(self, posts: PostBatch) -> Encoded:
        return {"query": self.post_in(self.input(posts))}

    def hashtag_vectors(self) -> Tensor:
        return self.hashtag

    def loss(self, batch: TrainingBatch) -> Tensor:
        return ranking_loss(self, batch, self.config.loss, self.config.margin)


class UserAdditive(Bilinear):
    """UA: s = (W_v v + W_u u + b) · (W_t t)."""

    name = "user-additive"

    def __init__(self, config: ProfileModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.profile = ProfileParts(sizes.users, sizes.hashtags, sizes.fields, config.dim)
        self.user_in = nn.Linear(self.profile.width, config.dim)

    def fit(self, training: TrainingSet) -> None:
        super().fit(training)
        self.profile.fit(training)

    def encode(self, posts: PostBatch) -> Encoded:
        user = self.user_in(self.profile(posts))
        return {"query": self.post_in(self.input(posts)) + user}


class ThreeWay(UserAdditive):
    """3WM: s = ((W_v v + b_v) ⊙ (W_u u + b_u)) · (W_t t).

    b_u starts at 1, so that training begins at the bilinear model.
    """

    name = "three-way"

    def __init__(self, config: ProfileModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        nn.init.ones_(self.user_in.bias)

    def encode(self, posts: PostBatch) -> Encoded:
        gate = self.user_in(self.profile(posts))
        return {"query": self.post_in(self.input(posts)) * gate}
