"""One query over the entries of a set in, what it attends to out (UHMAN, Eq. 1-4 and 5-8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class GuidedAttention(nn.Module):
    """E(F) = Φ(FFN(Γ), Γ) with Γ = Φ(MultiHead(u, F, F), u), Φ(a, b) = LayerNorm(a + b).

    All rows of the paper's Γ are the same, for there is one query: it is one vector here.

    MultiHead is that of Vaswani et al. (2017), checked against `torch.nn.MultiheadAttention`.
    With one query the projections of keys and values need not be made for each entry:

        q_h · (W_k,h f + b_k,h) = (W_k,hᵀ q_h) · f + a number that cancels in the softmax
        Σ_r α_r (W_v,h f_r + b_v,h) = W_v,h (Σ_r α_r f_r) + b_v,h

    so F is read twice and never multiplied by a K x K matrix.

    Shapes: query (B, K), entries (B, S, n, K) (S sets that share a query), mask (B, S, n) or
    None; returns (B, S, K) and the attention (B, S, n), the mean over heads. A set without an
    entry gives what Γ makes of the query alone, and attention 0.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.after_attention = nn.LayerNorm(dim)
        self.first = nn.Linear(dim, dim)
        self.second = nn.Linear(dim, dim)
        self.after_network = nn.LayerNorm(dim)

    def forward(
        self, query: Tensor, entries: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        heard, attention = self.multi_head(query, entries, mask)
        joined = self.after_attention(heard + query.unsqueeze(1))
        network = self.second(torch.relu(self.first(joined)))
        return self.after_network(network + joined), attention

    def multi_head(
        self, query: Tensor, entries: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """MultiHead(u, F, F) (B, S, K) and its attention (B, S, n)."""
        (B, S, n, K), h = entries.shape, self.heads
        d = K // h
        asked = self.query(query).view(B, h, d)
        folded = torch.einsum("bhd,hdk->bkh", asked, self.key.weight.view(h, d, K))
        logits = torch.bmm(entries.reshape(B, S * n, K), folded) / math.sqrt(d)
        logits = logits.view(B, S, n, h)
        if mask is not None:
            logits = logits.masked_fill(~mask.unsqueeze(-1), torch.finfo(logits.dtype).min)
        weights = torch.softmax(logits, 2)
        if mask is not None:
            weights = weights * mask.unsqueeze(-1)
        joined = torch.matmul(weights.transpose(2, 3), entries)
        values = torch.einsum("bshk,hdk->bshd", joined, self.value.weight.view(h, d, K))
        if mask is None:
            values = values.reshape(B, S, K) + self.value.bias
        else:
            some = mask.any(2, keepdim=True)
            values = values.reshape(B, S, K) + self.value.bias * some
        out: Tensor = self.out(values)
        return out, weights.mean(3)
