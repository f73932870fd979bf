"""Users in, how often each used each hashtag in training out, a post's own uses taken off."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.layers.growing import with_pairs
from reeltag.models.layers.scores import Listed


class UserUses(nn.Module):
    """Uses of each hashtag by each user in the training posts.

    A training post's own uses are taken off when that post is asked about, so that a post
    never finds itself in its user's history. Shapes: users (B,), own (B,) in; (B, hashtags)
    out, zeros for a user never seen.

    So are the uses with anything else that posts have: with `owners`, `fit` and `observe` count
    for the K of each post, numbered together, rather than for its user.
    """

    def __init__(self, users: int, hashtags: int) -> None:
        super().__init__()
        self.users, self.hashtags = users, hashtags
        whole = torch.int64
        self.tags: Tensor
        self.offsets: Tensor
        self.uses: Tensor
        self.own_offsets: Tensor
        self.own_tags: Tensor
        self.register_buffer("tags", torch.zeros(0, dtype=whole))
        self.register_buffer("offsets", torch.zeros(users + 1, dtype=whole))
        self.register_buffer("uses", torch.zeros(0))
        self.register_buffer("own_offsets", torch.zeros(1, dtype=whole))
        self.register_buffer("own_tags", torch.zeros(0, dtype=whole))

    def fit(self, training: TrainingSet, owners: Tensor | None = None) -> None:
        """Count the uses of each user, or of each of a post's `owners` (n, K), -1 for none."""
        H = self.hashtags
        users = training.posts.users if owners is None else owners
        owner, tags = _pairs(users, training.posts.hashtags)
        keys, counts = torch.unique(owner * H + tags, return_counts=True)
        history = Ragged.from_pairs(keys // H, keys % H, self.users)
        self.tags, self.offsets, self.uses = history.values, history.offsets, counts.float()
        own = training.posts.hashtags
        self.own_offsets, self.own_tags = own.offsets, own.values

    def of_all(self) -> Tensor:
        """Uses of each hashtag by everybody, also by nobody known (hashtags,)."""
        return torch.bincount(self.own_tags, minlength=self.hashtags)

    def users_of(self) -> Tensor:
        """How many users used each hashtag (hashtags,)."""
        return torch.bincount(self.tags, minlength=self.hashtags)

    def forward(self, users: Tensor, own: Tensor) -> Tensor:
        return self.listed(users, own).whole()

    def listed(self, users: Tensor, own: Tensor) -> Listed:
        """The same, only of hashtags that the user used; ids ascend."""
        known = users >= 0
        lists = Ragged(self.tags, self.offsets)
        rows = known.nonzero().squeeze(1)
        where, owner = lists.positions(users[rows])
        tags, uses = self.tags[where], self.uses[where]
        inside = (known & (own >= 0)).nonzero().squeeze(1)
        if len(inside) and len(self.own_offsets) > 1:
            of, at = Ragged(self.own_tags, self.own_offsets).positions(own[inside])
            keys = rows[owner] * self.hashtags + tags  # ascending
            taken = torch.searchsorted(keys, inside[at] * self.hashtags + self.own_tags[of])
            uses = uses.index_add(0, taken, uses.new_full((len(taken),), -1.0))
        lengths = torch.where(known, lists.lengths_of(users.clamp(min=0)) if self.users else 0, 0)
        offsets = lengths.new_zeros(len(users) + 1)
        torch.cumsum(lengths, 0, out=offsets[1:])
        zeros = uses.new_zeros(1).expand(self.hashtags)
        return Listed(Ragged(tags, offsets), uses, zeros)

    def grow(self, users: int, hashtags: int) -> None:
        """Make room for so many users and hashtags in all."""
        self.users, self.hashtags = users, hashtags
        self.offsets = Ragged(self.tags, self.offsets).longer(users).offsets

    def observe(self, users: Tensor, hashtags: Ragged) -> None:
        """Count published posts too: their users (B,) or (B, K) and the hashtags each carries."""
        history, self.uses = with_pairs(
            Ragged(self.tags, self.offsets), self.uses, *_pairs(users, hashtags)
        )
        self.tags, self.offsets = history.values, history.offsets
        own = Ragged(self.own_tags, self.own_offsets).joined(hashtags)
        self.own_tags, self.own_offsets = own.values, own.offsets


def _pairs(owners: Tensor, hashtags: Ragged) -> tuple[Tensor, Tensor]:
    """Each known owner (n,) or (n, K) of posts with each hashtag of its post, one after another."""
    owner = owners.view(len(hashtags), -1)[hashtags.row_of_value]
    known = owner >= 0
    return owner[known], hashtags.values.unsqueeze(1).expand_as(owner)[known]
