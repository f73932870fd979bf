"""Users in, the hashtags most characteristic of each out, by TF-IDF over training posts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.data.corpus import TrainingSet
from reeltag.models.layers.uses import UserUses


class CharacteristicTags(nn.Module):
    """tf-idf(j, u) = uses of j by u · ln((1 + users) / (1 + users of j)), kept above 0.

    A training post's own uses are taken off tf when that post is asked about. A hashtag that
    everybody uses has idf 0 and is characteristic of nobody. Equal values are ordered by id.
    Shapes: users (B,), own (B,) in; (B, slots) out, largest first, -1 where there are fewer.
    """

    def __init__(self, users: int, hashtags: int) -> None:
        super().__init__()
        self.uses = UserUses(users, hashtags)
        self.idf: Tensor
        self.register_buffer("idf", torch.zeros(hashtags))

    def fit(self, training: TrainingSet) -> None:
        """Count the uses of each user."""
        self.uses.fit(training)
        users_of = self.uses.users_of().double()
        self.idf = ((1 + self.uses.users) / (1 + users_of)).log().float()

    def forward(self, users: Tensor, own: Tensor, slots: int) -> Tensor:
        H = self.uses.hashtags
        values = self.uses(users, own).double() * self.idf
        # Settles ties by id; far below any difference of two values of tf-idf.
        values -= 1e-12 * torch.arange(H, device=values.device)
        best = torch.topk(values, min(slots, H), dim=1)
        found = best.indices.masked_fill(best.values < 1e-6, -1)
        return nn.functional.pad(found, (0, max(0, slots - H)), value=-1)
