"""Hidden states of a sequence and hashtags in, how much each hashtag heeds each step out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.models.layers import fused


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
        self.dropout = nn.Dropout(dropout)

    def pairs(self, keys: Tensor, queries: Tensor, mask: Tensor) -> Tensor:
        """Weights for each row's own hashtags: keys (m, T, A), queries (m, C, A): (m, C, T)."""
        hidden = self.dropout(torch.relu(keys.unsqueeze(1) + queries.unsqueeze(2)))
        return masked_softmax(hidden @ self.weight, mask.unsqueeze(1), 2)

    def catalogue(self, keys: Tensor, queries: Tensor, mask: Tensor) -> Tensor:
        """Weights for the same hashtags on every post: keys (B, T, A), queries (H, A): (B, H, T).

        Without dropout or gradient; one fused pass on the CPU where numba is installed.
        """
        posts, steps, width = keys.shape
        if keys.device.type == "cpu" and keys.dtype == torch.float32 and fused.available():
            rows = keys.reshape(-1, width)
            weight, nothing = self.weight.expand_as(rows), rows.new_zeros(len(rows))
            logits = fused.score_all(queries, rows, weight, nothing, slope=0.0)
            weights = masked_softmax(logits.view(posts, steps, -1), mask.unsqueeze(2), 1)
            return weights.transpose(1, 2)
        hidden = torch.relu(keys.unsqueeze(1) + queries.unsqueeze(1))
        return masked_softmax(hidden @ self.weight, mask.unsqueeze(1), 2)


def masked_softmax(logits: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Softmax along `dim` over what the mask (of a shape that fits) lets through, else zeros."""
    lowest = torch.finfo(logits.dtype).min
    return torch.softmax(logits.masked_fill(~mask, lowest), dim) * mask
