"""UHMAN: user-guided attention over regions and frames (Liu et al., 2020)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import (
    Attention,
    Attentive,
    Encoded,
    Factorised,
    ModelConfig,
    Sizes,
    Trained,
    TrainingBatch,
)
from reeltag.models.layers.guided_attention import GuidedAttention
from reeltag.models.layers.profile import ProfileVector
from reeltag.models.layers.regions import RegionNetwork
from reeltag.models.layers.warp import margin_loss, warp_loss


class UhmanConfig(ModelConfig):
    """Settings of `Uhman`; the defaults are the paper's preset."""

    dim: int = Field(32, ge=1)
    """Hidden width K of regions, frames, users and hashtags."""
    predictive: int = Field(32, ge=1)
    """Width d of the space in which a post meets the hashtags."""
    heads: int = Field(4, ge=1)
    """Heads of both attentions; divides `dim`."""
    margin: float = Field(0.1, gt=0)
    """m: how far a hashtag on the post should score above one that is not."""
    loss: Literal["warp", "margin"] = "warp"
    """`warp` weighs a violation by the estimated rank; `margin`, the paper's listing, does not."""
    region_attention: bool = True
    """False: the mean over the regions of a frame (the paper's ablation a)."""
    frame_attention: bool = True
    """False: the mean over frames (ablation b)."""

    @model_validator(mode="after")
    def _heads_divide(self) -> UhmanConfig:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of heads {self.heads}")
        return self


class Uhman(Factorised, Trained, Attentive):
    """The user asks; the regions of each frame, then the frames, answer.

        r = FFN(region)                                        §2.2
        u_e = FFN([gender; age; country; …; past hashtags])    §2.2
        F_n = E(regions of frame n | u_e)                      Eq. 1-4
        v_e = E(frames F_1 … F_T | u_e)                        Eq. 5-8
        s_j = (W_V [u_e; v_e]) · (W_T t_j)                     Eq. 9-10

    E is `GuidedAttention`. Eq. 9 prints the distance -s; larger s is better here.

    Departures from the paper: features are standardised on training posts. Past hashtags are
    those of the user's other training posts, so a post never sees its own. A field of a user
    that nobody knows is "unknown", with a code of its own. A step takes all hashtags of its
    posts at once. WARP tries the negatives that were drawn, not the whole vocabulary.
    """

    name = "uhman"
    Config = UhmanConfig
    needs_users = False
    needs_features = True
    reads = "grid"
    by_post = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "optimiser": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.0,
        "plateau": 3,
        "patience": 8,
        "negatives": 4,
        "batch_size": 64,
    }
    config: UhmanConfig

    def __init__(self, config: UhmanConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        K = config.dim
        self.regions = RegionNetwork(sizes.manifests, K)
        self.user = ProfileVector(sizes.users, sizes.hashtags, sizes.fields, K)
        self.over_regions = GuidedAttention(K, config.heads) if config.region_attention else None
        self.over_frames = GuidedAttention(K, config.heads) if config.frame_attention else None
        self.hashtag = nn.Parameter(torch.randn(sizes.hashtags, K) * 0.1)
        self.post_out = nn.Linear(2 * K, config.predictive, bias=False)
        self.hashtag_out = nn.Linear(K, config.predictive, bias=False)

    def fit(self, training: TrainingSet) -> None:
        self.regions.fit(training)
        self.user.fit(training)

    def look(self, posts: PostBatch) -> tuple[Tensor, Tensor, Attention]:
        """u_e (B, K), v_e (B, K) and the attention."""
        regions, there = self.regions(posts)
        user = self.user(posts)
        if self.over_regions is not None:
            frames, of_regions = self.over_regions(user, regions)
        else:
            frames = regions.mean(2)
            of_regions = regions.new_full(regions.shape[:3], 1 / regions.shape[2])
        if self.over_frames is not None:
            video, of_frames = self.over_frames(user, frames.unsqueeze(1), there.unsqueeze(1))
            video, of_frames = video.squeeze(1), of_frames.squeeze(1)
        else:
            of_frames = there / there.sum(1, keepdim=True).clamp(min=1)
            video = (frames * of_frames.unsqueeze(2)).sum(1)
        return user, video, Attention(of_regions * there.unsqueeze(2), of_frames)

    @torch.no_grad()
    def attention(self, posts: PostBatch) -> Attention:
        """Where the model looks for these users in these posts."""
        return self.look(posts)[2]

    def encode(self, posts: PostBatch) -> Encoded:
        user, video, _ = self.look(posts)
        return {"query": self.post_out(torch.cat([user, video], 1))}

    def hashtag_vectors(self) -> Tensor:
        vectors: Tensor = self.hashtag_out(self.hashtag)
        return vectors

    def loss(self, batch: TrainingBatch) -> Tensor:
        return ranking_loss(self, batch, self.config.loss, self.config.margin)

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 3 * self.regions.numbers


def ranking_loss(
    model: Factorised, batch: TrainingBatch, kind: Literal["warp", "margin"], margin: float
) -> Tensor:
    """WARP or margin loss of every hashtag on the batch's posts against those drawn for it."""
    query = model.encode(batch.posts)["query"].index_select(0, batch.owner)
    candidates = torch.cat([batch.positives.unsqueeze(1), batch.negatives], 1)
    scores = model.score_pairs({"query": query}, candidates)
    positive, negatives = scores[:, 0], scores[:, 1:]
    if kind == "margin":
        return margin_loss(positive, negatives, margin)
    return warp_loss(positive, negatives, model.sizes.hashtags, margin)
