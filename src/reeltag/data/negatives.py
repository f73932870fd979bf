"""Posts in, hashtags they do not carry out: uniform, exact, without rejection.

A post with n of H hashtags has H - n negatives. A uniform draw r in [0, H - n) becomes
the r-th hashtag that is not on the post: with the post's hashtags p_0 < p_1 < …, it is
r plus the number of t with p_t - t <= r. The count is one binary search over all posts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.data.ragged import Ragged
from reeltag.errors import DatasetError


class NegativeSampler:
    """Draws hashtags uniformly among those not on the post.

    Args:
        positives: the hashtags of each post (unique within a post, any order).
        hashtags: size H of the vocabulary.

    Raises `DatasetError` where a post carries every hashtag, so that it has no negative.
    """

    def __init__(self, positives: Ragged, hashtags: int) -> None:
        self.hashtags = hashtags
        self.lengths, self.offsets = positives.lengths, positives.offsets
        if len(positives) and int(self.lengths.max()) >= hashtags:
            raise DatasetError(
                f"A post carries all {hashtags} hashtags of the vocabulary, so it has no negative. "
                "Train on more posts, or lower --min-hashtag-uses."
            )
        rows = positives.row_of_value
        keys = torch.sort(rows * hashtags + positives.values).values
        place = torch.arange(len(keys), device=keys.device) - self.offsets[rows]
        self.keys = keys - place
        """row * H + (p_t - t), ascending."""

    def draw(self, posts: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` negatives, with replacement, for each of `posts` (n,): (n, count)."""
        room = (self.hashtags - self.lengths[posts]).unsqueeze(1)
        # float64 times the room, floored: off by less than 2^-50 from uniform.
        uniform = torch.rand(
            (len(posts), count), generator=generator, dtype=torch.float64, device=posts.device
        )
        draws = torch.minimum((uniform * room).long(), room - 1)
        return self._skip_positives(posts, draws)

    def draw_distinct(self, posts: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Draw `count` different negatives for each of `posts` (n,): (n, count).

        Rows with fewer than `count` negatives are filled with -1 at the end.
        """
        room = self.hashtags - self.lengths[posts]
        weights = torch.rand((len(posts), self.hashtags), generator=generator, device=posts.device)
        outside = torch.arange(self.hashtags, device=posts.device) >= room.unsqueeze(1)
        weights.masked_fill_(outside, 2.0)
        width = min(count, self.hashtags)
        draws = torch.topk(weights, width, dim=1, largest=False).indices
        found = self._skip_positives(posts, draws)
        return found.masked_fill(torch.arange(width, device=posts.device) >= room.unsqueeze(1), -1)

    def _skip_positives(self, posts: Tensor, draws: Tensor) -> Tensor:
        wanted = posts.unsqueeze(1) * self.hashtags + draws
        before = torch.searchsorted(self.keys, wanted, right=True) - self.offsets[posts].unsqueeze(
            1
        )
        return draws + before
