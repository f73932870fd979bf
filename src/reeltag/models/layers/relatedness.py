"""Hashtags that go together in, a first ranking spread to relatives out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from reeltag.data.corpus import TrainingSet
from reeltag.models.layers.postings import TermIndex
from reeltag.models.layers.scores import Listed

RELATIVES = 20
"""Hashtags that one is related to by each way of going together, the nearest ones."""
_DOUBT = 3
"""Of co-use: with so many common posts (or users) half of what they say is believed."""
_BLOCK = 1024
Likeness = Callable[[Tensor], Tensor]
"""Ids of b hashtags → how alike their names are to all names (b, H)."""


class Relatedness(TermIndex):
    """spread(s)_j = Σ_k s_k R_kj,   R = a posts + b users + c names

    posts and users: R_kj is the positive pointwise mutual information of k and j,

        max(0, ln(n n_kj / (n_k n_j))) n_kj / (n_kj + 3)

    where n_kj counts the training posts (or the users) that have both; the 20 best of each k,
    scaled to sum to 1. names: likeness² of the names of j and of its 20 nearest used
    hashtags k, times 1 / (1 + n_j): who has no use yet takes part by the company of its name,
    who has many is known by them. No hashtag is its own relative.

    It is one sparse product. Shapes: `Listed`, what is not listed 0, in; (B, H) out.
    """

    def __init__(self, posts: float = 0.3, users: float = 0.7, names: float = 0.5) -> None:
        super().__init__()
        self.shares = {"posts": posts, "users": users, "names": names}
        self._ordered: tuple[Tensor, Tensor, Tensor] | None = None

    def fit(self, training: TrainingSet, likeness: Likeness | None = None) -> None:
        """Relate the hashtags of a training set; with a `likeness`, by their names too."""
        H = len(training.hashtags)
        owner, tags = training.triples
        users = training.posts.users[owner]
        known = users >= 0
        edges = [
            _co_used(owner, tags, len(training.posts), H, self.shares["posts"]),
            _co_used(users[known], tags[known], len(training.users), H, self.shares["users"]),
        ]
        if likeness is not None:
            uses = torch.bincount(tags, minlength=H)
            edges.append(_namesakes(likeness, uses, self.shares["names"]))
        sources, targets, weights = (torch.cat(parts) for parts in zip(*edges, strict=True))
        self.terms = torch.arange(H)
        self.store(H, targets, sources, weights)

    def grow(self, hashtags: int) -> None:
        """Make room for so many hashtags in all; new ones have no relatives."""
        self.settle()
        more = self.offsets[-1:].expand(hashtags - len(self.terms))
        self.offsets = torch.cat([self.offsets, more])
        self.terms = torch.arange(hashtags, device=self.terms.device)
        self.count = torch.full_like(self.count, hashtags)

    def relatives(self, hashtag: int) -> tuple[Tensor, Tensor]:
        """Those that speak for a hashtag: ids (m,) and R (m,)."""
        edges = self._edges_to(hashtag)
        sources = torch.searchsorted(self.offsets, edges, right=True) - 1
        relatives, place = torch.unique(sources, return_inverse=True)
        weights = self.weights.new_zeros(len(relatives))
        return relatives, weights.index_add_(0, place, self.weights[edges])

    def _edges_to(self, hashtag: int) -> Tensor:
        """Positions (m,) of a hashtag among the targets of all edges, ascending."""
        if self._ordered is None or self._ordered[0] is not self.rows:
            targets, edges = torch.sort(self.rows, stable=True)
            self._ordered = self.rows, targets, edges
        _, targets, edges = self._ordered
        first, last = torch.searchsorted(targets, targets.new_tensor([hashtag, hashtag + 1]))
        return edges[first:last]

    def forward(self, scores: Listed) -> Tensor:
        rows = scores.rows
        return self.score(len(rows), rows.row_of_value, rows.values, scores.values)


def _co_used(
    groups: Tensor, tags: Tensor, count: int, hashtags: int, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Edges (m,) from, to and weight by how often two hashtags are in one group."""
    ones = np.ones(len(tags), dtype=np.float64)
    table = sparse.csr_matrix((ones, (groups.numpy(), tags.numpy())), shape=(count, hashtags))
    table.data[:] = 1
    both = (table.T @ table).tocoo()
    alone = np.asarray(table.sum(0)).ravel()
    apart = both.row != both.col
    source, target, common = both.row[apart], both.col[apart], both.data[apart]
    lift = np.log(count * common / (alone[source] * alone[target])).clip(min=0)
    weight = lift * common / (common + _DOUBT)
    source, target, weight = _nearest(source, target, weight)
    total = np.bincount(source, weight, minlength=hashtags)
    weight = share * weight / total[source]
    return torch.from_numpy(source), torch.from_numpy(target), torch.from_numpy(weight).float()


def _nearest(
    source: NDArray[np.int32], target: NDArray[np.int32], weight: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The heaviest edges of each source, those of weight 0 left out; ties by target."""
    heavy = weight > 0
    source, target, weight = source[heavy], target[heavy], weight[heavy]
    order = np.lexsort((target, -weight, source))
    source = source[order]
    place = np.arange(len(source)) - np.searchsorted(source, source)
    kept = order[place < RELATIVES]
    return (
        source[place < RELATIVES].astype(np.int64),
        target[kept].astype(np.int64),
        weight[kept],
    )


def _namesakes(likeness: Likeness, uses: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Edges (m,) from used hashtags to those whose names are like theirs."""
    found = []
    for block in torch.split(torch.arange(len(uses)), _BLOCK):
        alike = likeness(block).clamp(min=0) * (uses > 0)
        alike[torch.arange(len(block)), block] = 0
        near = torch.topk(alike, min(RELATIVES, len(uses)), dim=1)
        weight = share * near.values.square() / (1 + uses[block]).unsqueeze(1)
        row, place = (weight > 0).nonzero(as_tuple=True)
        found.append((near.indices[row, place], block[row], weight[row, place]))
    source, target, weight = (torch.cat(parts) for parts in zip(*found, strict=True))
    return source, target, weight
