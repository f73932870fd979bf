"""Posts in, hashtags they do not carry out: uniform, exact, without rejection.

A post with n of H hashtags has H - n negatives. A uniform draw r in [0, H - n) becomes
the r-th hashtag that is not on the post: with the post's hashtags p_0 < p_1 < …, it is
r plus the number of t with p_t - t <= r. The count is one binary search over all posts.
"""

from __future__ import annotations

from functools import cached_property

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
        uses = torch.sort(rows * hashtags + positives.values).values
        self.keys = uses - self._places(rows)
        """row * H + (p_t - t), ascending."""

    @cached_property
    def uses(self) -> Tensor:
        """row * H + p_t, ascending."""
        return self.keys + self._places(Ragged(self.keys, self.offsets).row_of_value)

    def _places(self, rows: Tensor) -> Tensor:
        """t of every use."""
        return torch.arange(len(rows), device=rows.device) - self.offsets[rows]

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

        One random order of all hashtags serves the whole call; each post reads it from a
        random place of its own and takes the first `count` it does not carry. Each post's
        draw is a uniform subset of its negatives; draws of one call share the order. Rows
        with fewer than `count` negatives are filled with -1 at the end.
        """
        H, device = self.hashtags, posts.device
        order = torch.randperm(H, generator=generator, device=device)
        most = int(self.lengths[posts].max()) if len(posts) else 0
        width = min(H, count + most)
        start = torch.randint(H, (len(posts), 1), generator=generator, device=device)
        window = order[(start + torch.arange(width, device=device)) % H]
        keep = ~self._carries(posts, window)
        place = torch.cumsum(keep, 1) - 1
        keep &= place < count
        found = torch.full((len(posts), min(count, H)), -1, dtype=torch.int64, device=device)
        rows = torch.arange(len(posts), device=device).unsqueeze(1).expand_as(window)
        found[rows[keep], place[keep]] = window[keep]
        return found

    def _carries(self, posts: Tensor, tags: Tensor) -> Tensor:
        """Whether each post carries each of its `tags` (n, k)."""
        if not len(self.uses):
            return torch.zeros_like(tags, dtype=torch.bool)
        wanted = posts.unsqueeze(1) * self.hashtags + tags
        place = torch.searchsorted(self.uses, wanted).clamp(max=len(self.uses) - 1)
        return self.uses[place] == wanted

    def _skip_positives(self, posts: Tensor, draws: Tensor) -> Tensor:
        wanted = posts.unsqueeze(1) * self.hashtags + draws
        before = torch.searchsorted(self.keys, wanted, right=True) - self.offsets[posts].unsqueeze(
            1
        )
        return draws + before
