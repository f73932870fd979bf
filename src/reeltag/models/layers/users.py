"""User ids in, learned user vectors out; a stranger gets the mean of all."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UserVectors(nn.Module):
    """u_i, learned, or the mean of all u where the user is -1 (never seen in training).

    Shapes: (B,) int64 in, (B, dim) out. `around` is the mean of the initial values.
    """

    def __init__(self, users: int, dim: int, around: float = 0.0, deviation: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(around + deviation * torch.randn(users, dim))

    def forward(self, users: Tensor) -> Tensor:
        known = (users >= 0).unsqueeze(1)
        own = nn.functional.embedding(users.clamp(min=0), self.weight)
        return torch.where(known, own, self.weight.mean(0))
