"""Steps and one vector that asks in, the mixture of the steps it heeds out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.models.layers.hashtag_attention import masked_softmax


class StepAttention(nn.Module):
    """Attention of one modality's vector over the steps of another (Zhang et al., 2017).

        a_s = w · tanh(W_s x_s + b + W_q q),  α = softmax of a over the valid steps,  Σ_s α_s x_s

    Without anything that asks (`asking=0`) the term W_q q is left out. A row whose q is zero is
    asked by nobody: the steps speak for themselves. A row without a valid step gives zeros.

    Shapes: steps (B, T, width), mask (B, T), query (B, asking) or None; returns (B, width) and
    the weights (B, T).
    """

    def __init__(self, width: int, asking: int, hidden: int) -> None:
        super().__init__()
        self.keys = nn.Linear(width, hidden)
        self.queries = nn.Linear(asking, hidden, bias=False) if asking else None
        self.weight = nn.Parameter(torch.randn(hidden) / hidden**0.5)

    def forward(self, steps: Tensor, mask: Tensor, query: Tensor | None) -> tuple[Tensor, Tensor]:
        keys = self.keys(steps)
        if self.queries is not None:
            keys = keys + self.queries(query).unsqueeze(1)
        weights = masked_softmax(torch.tanh(keys) @ self.weight, mask, 1)
        return torch.einsum("bt,btd->bd", weights, steps), weights
