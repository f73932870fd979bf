"""TRUMANN: the modalities of a post in one common space (Zhang et al., ACM MM 2016)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.models.contract import Sizes
from reeltag.models.layers.common_space import consensus
from reeltag.models.layers.view import pool
from reeltag.models.softmax_model import SoftmaxConfig, SoftmaxModel


class TrumannConfig(SoftmaxConfig):
    """Settings of `Trumann`."""

    dim: int = Field(150, ge=1)
    """Width c of the common space (LOGO §4.1.4)."""
    fusion: Literal["concat", "mean"] = "concat"
    """What the classifier reads: the modalities' vectors side by side, or their mean b."""
    agreement: float = Field(0.01, ge=0)
    """Weight of the distance between the modalities of a post."""


class Trumann(SoftmaxModel):
    """Linear maps of all modalities into one space, and a softmax on it.

        v^m = mean over the steps of modality m
        x^m = A_m v^m + a_m
        b   = mean over the modalities the post has of x^m
        p   = softmax(W [x^v; x^a; x^t] + w)    or, with `fusion="mean"`, softmax(W b + w)

    Loss: the softmax's (`SoftmaxModel`) + agreement · mean over posts and modalities of
    |x^m - b|². The b nearest to all x^m is their mean, so no common vector of each post is
    learned beside the maps.

    This is the part of TRUMANN that LOGO's authors compare with ("retaining the common space
    learning component and casting the representations of multiple modalities into a softmax
    classifier", §4.1.3). The tree-guided multi-task part is dropped, as there: hashtags have no
    tree. Written from descriptions of the paper and LOGO §4.1, not from the paper itself.

    Departures: gradient steps with dropout instead of alternating closed forms. A missing
    modality is in no mean, and its block of the classifier's input is zero. Features are
    standardised on training posts. The weight of the agreement is ours.
    """

    name = "trumann"
    Config = TrumannConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 1e-3,
        "batch_size": 128,
        "patience": 8,
    }
    config: TrumannConfig

    def __init__(self, config: TrumannConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.maps = nn.ModuleDict(
            {name: nn.Linear(self.input.widths[name], config.dim) for name in self.modalities}
        )
        self._ends_in(config.dim * (len(self.modalities) if config.fusion == "concat" else 1))

    def mapped(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        """x^m of every modality (B, M, c), and which of them each post has (B, M)."""
        vectors, there = [], []
        for name, (values, mask) in self.input(posts).items():
            vectors.append(self.maps[name](pool(values, mask, "mean")))
            there.append(mask.any(1))
        return torch.stack(vectors, 1), torch.stack(there, 1)

    def represent(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        vectors, there = self.mapped(posts)
        common, apart = consensus(vectors, there)
        if self.config.fusion == "concat":
            common = (vectors * there.unsqueeze(2)).flatten(1)
        return common, self.config.agreement * apart
