"""A post's vectors and a hashtag's in, a logit out: LOGO's neural collaborative filtering."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from reeltag.models.layers.share import Dropout


class Interaction(nn.Module):
    """Customised NCF (LOGO Eq. 6-8).

        p_0 = [x^v ⊙ y; x^a ⊙ y; x^t ⊙ y],  p_l = ReLU(W_l p_{l-1} + b_l),  z = w_p · p_L

    Each hidden layer is half as wide as the one before. z is the logit: the sigmoid is in the
    loss. Dropout on p_0 and on every p_l.

    Shapes: products (..., M, dim) in, (...,) out.
    """

    def __init__(self, views: int, dim: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.views = views
        widths = [views * dim, *(max(1, width // 2**depth) for depth in range(layers))]
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in itertools.pairwise(widths)
        )
        self.weight = nn.Parameter(torch.empty(widths[-1]))
        self.dropout = Dropout(dropout)

    def forward(self, products: Tensor) -> Tensor:
        return self.above(self.layers[0](self.dropout(products.flatten(-2))))

    def first(self) -> tuple[Tensor, Tensor]:
        """Weights of the first layer by modality (width, M, dim), and its bias."""
        layer = self.layers[0]
        assert isinstance(layer, nn.Linear)
        return layer.weight.view(len(layer.bias), self.views, -1), layer.bias

    def above(self, hidden: Tensor) -> Tensor:
        """Logits from the first layer's sums (..., width), which are overwritten."""
        hidden = self.dropout(hidden.relu_())
        for layer in list(self.layers)[1:]:
            hidden = self.dropout(layer(hidden).relu_())
        return hidden @ self.weight
