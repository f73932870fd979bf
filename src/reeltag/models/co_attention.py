"""Co-Attention: words attend to pictures, pictures to words (Zhang et al., IJCAI 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.feature import Manifest
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes
from reeltag.models.layers.step_attention import StepAttention
from reeltag.models.layers.view import pool, states_of
from reeltag.models.softmax_model import SoftmaxConfig, SoftmaxModel

_READ = ("visual", "textual")


class CoAttentionConfig(SoftmaxConfig):
    """Settings of `CoAttention`."""

    dim: int = Field(100, ge=1)
    """Width of the LSTM over words, of a mapped frame and of the post's vector."""
    attention: int = Field(100, ge=1)
    """Hidden width of both attentions."""


class CoAttention(SoftmaxModel):
    """The caption chooses among the frames, what it chose chooses among the words.

        h_1 … h_T = LSTM(word vectors),  h̄ = mean of the h_t
        v_i = tanh(W_v f_i + b_v)                                  frames f_i
        ṽ = Σ α_i v_i,  α = softmax of w_1 · tanh(W_1 v_i + b_1 + U_1 h̄)    tweet-guided
        h̃ = Σ β_t h_t,  β = softmax of w_2 · tanh(W_2 h_t + b_2 + U_2 ṽ)    image-guided
        p = softmax(W (ṽ + h̃) + w)

    Loss: the softmax's (`SoftmaxModel`).

    It reads the textual feature (word vectors in the caption's order, or a vector as one step)
    and the visual one (frames, or a vector as one frame) and leaves the acoustic one alone. A
    post without words is asked by nobody and speaks through its frames alone, one without frames
    through its words alone; a dataset that lacks one of the two trains the other.

    Written from descriptions of the paper and public re-implementations, whose widths the
    defaults are, not from the paper itself. Departures: W x and U q are added inside tanh;
    side by side, as some have it, the part of q would be the same for every step and cancel in
    the softmax. Word vectors are the feature's and not learned. Regions of a picture are the
    frames of a clip. Features are standardised on training posts.

    Raises `MissingFeatureError` where there is neither a visual nor a textual feature.
    """

    name = "co-attention"
    Config = CoAttentionConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 1e-3,
        "batch_size": 128,
        "epochs": 100,
        "patience": 8,
    }
    config: CoAttentionConfig

    def __init__(self, config: CoAttentionConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        D, both = config.dim, len(self.modalities) == len(_READ)
        if not self.modalities:
            raise MissingFeatureError(
                f"{self.name} reads words and pictures, but got no visual and no textual feature. "
                "Make one: reeltag extract DATASET --visual efficientnet-lite1-frames "
                "--textual glove"
            )
        self.words: nn.LSTM | None = None
        self.frames: nn.Linear | None = None
        asking = D if both else 0
        self.attend = nn.ModuleDict(
            {name: StepAttention(D, asking, config.attention) for name in self.modalities}
        )
        if "textual" in self.modalities:
            self.words = nn.LSTM(self.input.widths["textual"], D, batch_first=True)
        if "visual" in self.modalities:
            self.frames = nn.Linear(self.input.widths["visual"], D)
        self._ends_in(D)

    @classmethod
    def read_of(cls, manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
        return {name: m for name, m in manifests.items() if m.modality in _READ}

    def attended(self, posts: PostBatch) -> dict[str, tuple[Tensor, Tensor]]:
        """For each modality: what is chosen of it (B, dim) and the weights of its steps (B, T)."""
        found, given = {}, self.input(posts)
        asks: Tensor | None = None
        if self.words is not None:
            values, spoken = given["textual"]
            states = states_of(self.words, values)
            asks = pool(states, spoken, "mean")
        if self.frames is not None:
            values, seen = given["visual"]
            frames = torch.tanh(self.frames(values))
            found["visual"] = self.attend["visual"](frames, seen, asks)
            asks = found["visual"][0]
        if self.words is not None:
            found["textual"] = self.attend["textual"](states, spoken, asks)
        return found

    def represent(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        chosen = torch.stack([vector for vector, _ in self.attended(posts).values()])
        return chosen.sum(0), chosen.new_zeros(())

    def _kept(self, modality: str) -> int:
        return 2 * self.config.dim + self.config.attention
