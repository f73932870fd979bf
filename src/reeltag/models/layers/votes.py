"""Training posts with weights in, votes for the hashtags they carry out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.explaining import NAMED, Facts
from reeltag.models.layers.growing import by_use
from reeltag.models.layers.scores import Listed, listed_sums


class Votes(nn.Module):
    """score(j) = Σ of the weights of the posts that carry j, then popularity.

    Popularity is far below any weight that matters: it orders what nobody votes for.
    Shapes: weights (B, n) and positions (B, n) of training posts in, `Listed` scores out.
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

    def forward(self, weights: Tensor, positions: Tensor) -> Listed:
        return self._listed(weights, positions, self.backoff)

    def nearest(self, weights: Tensor, positions: Tensor) -> Listed:
        """The largest weight of a post that carries each hashtag, 0 for none."""
        return self._listed(weights, positions, torch.zeros_like(self.backoff), largest=True)

    def counted(self, weights: Tensor, positions: Tensor) -> Listed:
        """The sum of the weights alone, without popularity."""
        return self._listed(weights, positions, torch.zeros_like(self.backoff))

    def _listed(
        self, weights: Tensor, positions: Tensor, usual: Tensor, largest: bool = False
    ) -> Listed:
        owner, place = (weights > 0).nonzero(as_tuple=True)
        rows, values = listed_sums(
            Ragged(self.tags, self.offsets),
            None,
            len(weights),
            owner,
            positions[owner, place],
            weights[owner, place],
            usual,
            largest,
        )
        return Listed(rows, values, usual)

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
