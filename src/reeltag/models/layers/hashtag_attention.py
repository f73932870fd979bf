"""Hidden states of a sequence and hashtags in, how much each hashtag heeds each step out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.models.layers import fused
from reeltag.models.layers.share import Dropout

_ELEMENTS = 1 << 20
"""Hidden values of the attention that are held at once."""


class HashtagAttention(nn.Module):
    """Attention over the steps of a sequence, asked by a candidate hashtag (LOGO Eq. 2).

        a(s, j) = w · ReLU(W_h h_s + W_y y_j + b),  α(s, j) = softmax of a over the valid steps

    What belongs to a post, W_h h_s + b (`keys`), and to a hashtag, W_y y_j (`queries`), is
    worked out once each; a pair only adds them. Steps where the mask is false have weight 0,
    and a sequence without any valid step has weight 0 everywhere.

    Shapes: hidden (B, T, hidden), hashtags (..., dim), mask (B, T).
    """

    def __init__(self, hidden: int, dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.keys = nn.Linear(hidden, width)
        self.queries = nn.Linear(dim, width, bias=False)
        self.weight = nn.Parameter(torch.empty(width))
        self.dropout = Dropout(dropout)

    def pairs(self, keys: Tensor, queries: Tensor, mask: Tensor) -> Tensor:
        """Weights for each row's own hashtags: keys (m, T, A), queries (m, C, A): (m, C, T)."""
        hidden = self.dropout(torch.relu(keys.unsqueeze(1) + queries.unsqueeze(2)))
        return masked_softmax(hidden @ self.weight, mask.unsqueeze(1), 2)

    def catalogue(self, keys: Tensor, queries: Tensor, mask: Tensor) -> Tensor:
        """Weights for many hashtags: keys (B, T, A), queries (B or 1, H, A): (B, T, H).

        Without dropout or gradient; one fused pass on the CPU where numba is installed.
        """
        if keys.device.type == "cpu" and keys.dtype == torch.float32 and fused.available():
            logits = fused.attention_logits(queries, keys, self.weight)
        else:
            size = max(1, _ELEMENTS // keys.numel())
            logits = torch.cat(
                [
                    torch.relu(keys.unsqueeze(2) + some.unsqueeze(1)) @ self.weight
                    for some in torch.split(queries, size, 1)
                ],
                2,
            )
        return masked_softmax(logits, mask.unsqueeze(2), 1)


def masked_softmax(logits: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Softmax along `dim` over what the mask (of a shape that fits) lets through, else zeros."""
    lowest = torch.finfo(logits.dtype).min
    return torch.softmax(logits.masked_fill(~mask, lowest), dim) * mask
