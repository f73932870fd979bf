"""Training posts with weights in, votes for the hashtags they carry out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.explaining import NAMED, Facts
from reeltag.models.layers.growing import by_use


class Votes(nn.Module):
    """score(j) = Σ of the weights of the posts that carry j, then popularity.

    Popularity is far below any weight that matters: it orders what nobody votes for.
    Shapes: weights (B, n) and positions (B, n) of training posts in, (B, hashtags) out.
    """

    def __init__(self, hashtags: int) -> None:
        super().__init__()
        self.backoff: Tensor
        self.offsets: Tensor
        self.tags: Tensor
        self.register_buffer("backoff", torch.zeros(hashtags))
        self.register_buffer("offsets", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("tags", torch.zeros(0, dtype=torch.int64))

    def fit(self, training: TrainingSet) -> None:
        """Remember what each training post carries."""
        carried = training.posts.hashtags
        # A copy: stored tensors share no memory.
        self.offsets, self.tags = carried.offsets.clone(), carried.values.clone()
        self.grow(len(self.backoff))

    def forward(self, weights: Tensor, positions: Tensor) -> Tensor:
        scores = self.backoff.repeat(len(positions), 1)
        flat, owner = self._heard(weights, positions)
        scores.view(-1).index_add_(0, flat, weights.reshape(-1)[owner])
        return scores

    def nearest(self, weights: Tensor, positions: Tensor) -> Tensor:
        """The largest weight of a post that carries each hashtag (B, hashtags), 0 for none."""
        scores = torch.zeros(len(positions), len(self.backoff), device=weights.device)
        flat, owner = self._heard(weights, positions)
        scores.view(-1).scatter_reduce_(0, flat, weights.reshape(-1)[owner], "amax")
        return scores

    def _heard(self, weights: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Of every vote: its place in scores laid flat, and in the weights laid flat."""
        heard = (weights > 0).reshape(-1).nonzero().squeeze(1)
        where, of = Ragged(self.tags, self.offsets).positions(positions.reshape(-1)[heard])
        owner = heard[of]
        row = torch.div(owner, max(1, positions.shape[1]), rounding_mode="floor")
        return row * len(self.backoff) + self.tags[where], owner

    def carriers(self, cosines: Tensor, positions: Tensor, hashtags: Tensor) -> list[Facts]:
        """As `carriers_of`, of what the training posts carry."""
        return carriers_of(Ragged(self.tags, self.offsets), cosines, positions, hashtags)

    def grow(self, hashtags: int) -> None:
        """Make room for so many hashtags in all."""
        self.backoff = by_use(torch.bincount(self.tags, minlength=hashtags), 1e-6)

    def observe(self, hashtags: Ragged) -> None:
        """Remember what each published post carries."""
        carried = Ragged(self.tags, self.offsets).joined(hashtags)
        self.tags, self.offsets = carried.values, carried.offsets
        self.grow(len(self.backoff))


def carriers_of(
    carried: Ragged, cosines: Tensor, positions: Tensor, hashtags: Tensor
) -> list[Facts]:
    """Which neighbours carry each of `hashtags` (k,): cosines (n,) and positions (n,) of them.

    `count` of the `of` neighbours that are alike at all; `positions` and `cosines` of the
    nearest three that do.
    """
    alike = cosines > 0
    order = torch.argsort(cosines[alike], descending=True, stable=True)
    cosines, positions = cosines[alike][order], positions[alike][order]
    where, owner = carried.positions(positions)
    row, column = (carried.values[where].unsqueeze(1) == hashtags).nonzero(as_tuple=True)
    carries = torch.zeros(len(hashtags), len(cosines), dtype=torch.bool, device=cosines.device)
    carries[column, owner[row]] = True
    return [
        {
            "count": int(mine.sum()),
            "of": len(cosines),
            "positions": positions[mine][:NAMED].tolist(),
            "cosines": cosines[mine][:NAMED].tolist(),
        }
        if bool(mine.any())
        else {}
        for mine in carries
    ]
