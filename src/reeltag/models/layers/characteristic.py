"""Users in, the hashtags most characteristic of each out, by TF-IDF over training posts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged


class CharacteristicTags(nn.Module):
    """tf-idf(j, u) = uses of j by u · ln((1 + users) / (1 + users of j)), kept above 0.

    A training post's own uses are taken off tf when that post is asked about. A hashtag that
    everybody uses has idf 0 and is characteristic of nobody. Equal values are ordered by id.
    Shapes: users (B,), own (B,) in; (B, slots) out, largest first, -1 where there are fewer.
    """

    def __init__(self, users: int, hashtags: int) -> None:
        super().__init__()
        self.users, self.hashtags = users, hashtags
        whole = torch.int64
        self.idf: Tensor
        self.tags: Tensor
        self.offsets: Tensor
        self.uses: Tensor
        self.own_offsets: Tensor
        self.own_tags: Tensor
        self.register_buffer("idf", torch.zeros(hashtags))
        self.register_buffer("tags", torch.zeros(0, dtype=whole))
        self.register_buffer("offsets", torch.zeros(users + 1, dtype=whole))
        self.register_buffer("uses", torch.zeros(0))
        self.register_buffer("own_offsets", torch.zeros(1, dtype=whole))
        self.register_buffer("own_tags", torch.zeros(0, dtype=whole))

    def fit(self, training: TrainingSet) -> None:
        """Count the uses of each user."""
        H = self.hashtags
        posts, hashtags = training.triples
        users = training.posts.users[posts]
        known = users >= 0
        keys, counts = torch.unique(users[known] * H + hashtags[known], return_counts=True)
        history = Ragged.from_pairs(keys // H, keys % H, self.users)
        self.tags, self.offsets, self.uses = history.values, history.offsets, counts.float()
        users_of = torch.bincount(keys % H, minlength=H).double()
        self.idf = ((1 + self.users) / (1 + users_of)).log().float()
        own = training.posts.hashtags
        self.own_offsets, self.own_tags = own.offsets, own.values

    def forward(self, users: Tensor, own: Tensor, slots: int) -> Tensor:
        H = self.hashtags
        counts = self.idf.new_zeros(len(users), H)
        rows = (users >= 0).nonzero().squeeze(1)
        where, owner = Ragged(self.tags, self.offsets).positions(users[rows])
        counts[rows[owner], self.tags[where]] = self.uses[where]
        rows = ((own >= 0) & (users >= 0)).nonzero().squeeze(1)
        if len(self.own_offsets) > 1:
            where, owner = Ragged(self.own_tags, self.own_offsets).positions(own[rows])
            counts[rows[owner], self.own_tags[where]] -= 1
        values = counts.double() * self.idf
        # Settles ties by id; far below any difference of two values of tf-idf.
        values -= 1e-12 * torch.arange(H, device=values.device)
        best = torch.topk(values, min(slots, H), dim=1)
        found = best.indices.masked_fill(best.values < 1e-6, -1)
        return nn.functional.pad(found, (0, max(0, slots - H)), value=-1)
