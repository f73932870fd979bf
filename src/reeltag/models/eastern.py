"""EASTERN: three parallel LSTMs and sparse concepts (Liu et al., ACM MM 2017)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.models.contract import Sizes
from reeltag.models.layers.share import mean
from reeltag.models.layers.view import pool, states_of
from reeltag.models.softmax_model import SoftmaxConfig, SoftmaxModel


class EasternConfig(SoftmaxConfig):
    """Settings of `Eastern`."""

    dim: int = Field(150, ge=1)
    """Width c of the common space (LOGO §4.1.4)."""
    hidden_visual: int = Field(500, ge=1)
    """Width of the LSTM over frames (LOGO §4.1.4, as the next two)."""
    hidden_acoustic: int = Field(300, ge=1)
    """Width of the LSTM over pieces of sound."""
    hidden_textual: int = Field(80, ge=1)
    """Width of the LSTM over words."""
    concepts: int = Field(256, ge=1)
    """K: filters of the CNN, the atoms of its dictionary."""
    sparsity: float = Field(1e-3, ge=0)
    """Weight of the L1 norm of the concepts."""


class Eastern(SoftmaxModel):
    """Each modality's sequence ends in a vector; filters find the same concepts in each.

        h^m = the last state of LSTM_m(steps of modality m)
        x^m = P_m h^m + p_m                            the common space, width c
        a^m_k = ReLU(d_k · x^m + e_k), k = 1 … K       filters d_k, shared by the modalities
        p   = softmax(W [a^v; a^a; a^t] + w)

    Loss: the softmax's (`SoftmaxModel`) + sparsity · mean over posts and modalities of Σ_k a^m_k
    (the a are not negative, so this is their L1 norm). Most concepts are then silent on a post.

    Written from the abstract and the summary of the paper's pipeline ("we input the three
    projected vectors with the same length into a convolutional neural network to learn their
    sparse conceptual representations, whereby the K filters serve as the k atoms in a
    dictionary") and from LOGO §4.1, not from the paper itself. Neither gives the filters' shape:
    the modalities are the CNN's positions here, and a filter is as wide as the common space and
    one modality high, for only then does a common space have a use. K, the weight of the sparsity
    and dropout are ours. The classifier reads the modalities' concepts side by side ("cascaded",
    LOGO §4.1.3).

    Departures: features are standardised on training posts; a missing modality has no concept.
    """

    name = "eastern"
    Config = EasternConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 1e-3,
        "batch_size": 128,
        "epochs": 100,
        "patience": 8,
    }
    config: EasternConfig

    def __init__(self, config: EasternConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        widths = {name: self._kept(name) for name in self.modalities}
        self.lstms = nn.ModuleDict(
            {name: nn.LSTM(self.input.widths[name], widths[name], batch_first=True)
             for name in self.modalities}
        )  # fmt: skip
        self.maps = nn.ModuleDict(
            {name: nn.Linear(widths[name], config.dim) for name in self.modalities}
        )
        self.atoms = nn.Linear(config.dim, config.concepts)
        self._ends_in(len(self.modalities) * config.concepts)

    def concepts(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        """Concepts found in each modality (B, M, K), zeros where there is none; there (B, M)."""
        vectors, there = [], []
        for name, (values, mask) in self.input(posts).items():
            lstm = self.lstms[name]
            assert isinstance(lstm, nn.LSTM)
            vectors.append(self.maps[name](pool(states_of(lstm, values), mask, "last")))
            there.append(mask.any(1))
        present = torch.stack(there, 1)
        return torch.relu(self.atoms(torch.stack(vectors, 1))) * present.unsqueeze(2), present

    def represent(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        found, present = self.concepts(posts)
        size = mean(found.sum(), present.sum())
        return found.flatten(1), self.config.sparsity * size

    def _kept(self, modality: str) -> int:
        width: int = getattr(self.config, f"hidden_{modality}")
        return width
