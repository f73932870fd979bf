"""A user's fields and past hashtags in, one vector out (UHMAN §2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.layers.uses import UserUses


class ProfileParts(nn.Module):
    """Every piece of metadata through a linear layer of its own, one after the other.

    Fields (gender, age, country ...) are one-hot, "unknown" included; history is multi-hot
    over the hashtags of the user's other training posts. Shape: (B, (F + 1) · dim).
    """

    def __init__(self, users: int, hashtags: int, fields: Sequence[int], dim: int) -> None:
        super().__init__()
        self.uses = UserUses(users, hashtags)
        # A linear layer over a one-hot vector is a table of rows.
        self.fields = nn.ModuleList(nn.Embedding(width, dim) for width in fields)
        self.history = nn.Linear(hashtags, dim)
        self.width = (len(fields) + 1) * dim

    def fit(self, training: TrainingSet) -> None:
        """Count the past hashtags of each training user."""
        self.uses.fit(training)

    def forward(self, posts: PostBatch) -> Tensor:
        past = (self.uses(posts.users, posts.own) > 0).to(self.history.weight.dtype)
        parts = [table(posts.fields[:, at]) for at, table in enumerate(self.fields)]
        return torch.cat([*parts, self.history(past)], 1)


class ProfileVector(nn.Module):
    """u_e: the parts through a feed-forward network of two layers. Shape: (B, dim)."""

    def __init__(self, users: int, hashtags: int, fields: Sequence[int], dim: int) -> None:
        super().__init__()
        self.parts = ProfileParts(users, hashtags, fields, dim)
        self.first = nn.Linear(self.parts.width, dim)
        self.second = nn.Linear(dim, dim)

    def fit(self, training: TrainingSet) -> None:
        """Count the past hashtags of each training user."""
        self.parts.fit(training)

    def forward(self, posts: PostBatch) -> Tensor:
        out: Tensor = self.second(torch.relu(self.first(self.parts(posts))))
        return out
