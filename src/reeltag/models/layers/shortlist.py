"""A few exact scores of a post in, a guess of all its scores out: whom to score exactly.

Scores of posts lie close to few directions. From exact scores Z (S, H) of training posts:

    Z - μ ≈ U Σ V, the r largest directions          (truncated SVD)
    landmarks = pivots of a QR of Σ V                 L hashtags that tell the directions apart
    P = argmin |(Z - μ)_landmarks P - (Z - μ) Vᵀ|²    ridge regression
    guess = μ + (z - μ)_landmarks P V                 from a post's landmark scores z alone
"""

from __future__ import annotations

import torch
from scipy.linalg import qr
from torch import Tensor, nn

SAMPLE = 512
"""Training posts it is fitted on."""
LANDMARKS = 128
RANK = 128
_RIDGE = 1e-3
"""Times the mean variance of a landmark's scores."""
_ROUNDING = 1e-12
"""Of float32, squared and with room."""


class Shortlist(nn.Module):
    """The linear map from landmark scores to all scores. Empty until `fit`.

    Shapes: landmarks (L,), mean (H,), project (L, r), spread (r, H).
    """

    landmarks: Tensor
    mean: Tensor
    project: Tensor
    spread: Tensor

    def __init__(self, hashtags: int) -> None:
        super().__init__()
        self.register_buffer("landmarks", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(hashtags))
        self.register_buffer("project", torch.zeros(0, 0))
        self.register_buffer("spread", torch.zeros(0, hashtags))

    @property
    def fitted(self) -> bool:
        """Whether there is anything to guess with."""
        return len(self.landmarks) > 0

    @torch.no_grad()
    def fit(self, scores: Tensor) -> None:
        """From exact scores (S, H) of training posts."""
        mean = scores.mean(0)
        apart = (scores - mean).double().cpu()
        # By the smaller Gram matrix: S is far below the size of a large vocabulary.
        values, left = torch.linalg.eigh(apart @ apart.T)
        # What lies below the rounding of the scores is no direction.
        least = _ROUNDING * torch.maximum(values[-1], scores.double().square().sum().cpu())
        keep = (values > least).nonzero().squeeze(1).flip(0)[:LANDMARKS]
        scaled = left[:, keep].T @ apart  # Σ V
        count = min(len(keep), scores.shape[1])
        if not count:  # all posts score alike
            self.landmarks = self.landmarks.new_zeros(0)
            return
        pivots = torch.from_numpy(qr(scaled.numpy(), mode="r", pivoting=True)[1][:count].copy())
        directions = scaled[:RANK] / values[keep][:RANK, None].sqrt()
        seen = apart[:, pivots]
        square = seen.T @ seen
        square += _RIDGE * square.diagonal().mean() * torch.eye(count, dtype=square.dtype)
        project = torch.linalg.solve(square, seen.T @ (apart @ directions.T))
        self.landmarks = pivots.long().to(scores.device)
        self.mean = mean
        self.project, self.spread = (x.to(scores) for x in (project, directions))

    def guess(self, exact: Tensor) -> Tensor:
        """All scores (B, H) from those of the landmarks (B, L)."""
        coordinates = (exact - self.mean[self.landmarks]) @ self.project
        return torch.addmm(self.mean, coordinates, self.spread)


def settled(guess: Tensor, chosen: Tensor, exact: Tensor) -> Tensor:
    """Scores (B, H): the exact ones (B, N) of the `chosen`, the others below all of them.

    The others keep the order of the guess, which is overwritten.
    """
    floor = exact.amin(1, keepdim=True)
    guess -= guess.amax(1, keepdim=True)
    guess += floor - (1 + floor.abs() / 1024)  # less than `floor` however large it is
    return guess.scatter_(1, chosen, exact)
