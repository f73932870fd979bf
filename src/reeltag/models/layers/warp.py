"""Scores of a hashtag on the post and of some drawn ones in, WARP ranking loss out."""

from __future__ import annotations

import torch
from torch import Tensor


def rank_weights(hashtags: int, device: torch.device | None = None) -> Tensor:
    """L(R) = Σ_{r=1}^{R} 1/r for R = 0 … H - 1: (H,)."""
    ranks = torch.arange(1, max(2, hashtags), device=device, dtype=torch.float64)
    return torch.cat([ranks.new_zeros(1), ranks.reciprocal().cumsum(0)]).float()


def warp_loss(positive: Tensor, negatives: Tensor, hashtags: int, margin: float = 1.0) -> Tensor:
    """Weighted approximate-rank pairwise loss (Weston et al., IJCAI 2011).

    Negatives are tried in the order drawn until one violates the margin, s- + m > s+. The
    first that does, at trial N, estimates the positive's rank as R = ⌊(H - 1) / N⌋:

        loss = L(R) · (m - s+ + s-),  L(R) = Σ_{r=1}^{R} 1/r,  0 where no negative violates

    All trials are scored at once here, which gives the same loss as trying them in turn;
    as many trials are made as negatives were drawn.

    Shapes: positive (B,), negatives (B, n); returns the mean over B, a scalar.
    """
    violates = negatives + margin > positive.unsqueeze(1)
    first = violates.int().argmax(1)
    rank = torch.div(hashtags - 1, first + 1, rounding_mode="floor")
    weight = rank_weights(hashtags, positive.device)[rank].to(positive.dtype)
    worst = negatives.gather(1, first.unsqueeze(1)).squeeze(1)
    return (weight * (margin - positive + worst) * violates.any(1)).mean()


def margin_loss(positive: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Σ over the negatives that violate the margin of m - s+ + s- (UHMAN's listing, §2.4).

    Shapes: positive (B,), negatives (B, n); returns the mean over B, a scalar.
    """
    return torch.relu(margin - positive.unsqueeze(1) + negatives).sum(1).mean()
