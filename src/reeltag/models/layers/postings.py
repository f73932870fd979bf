"""Terms of posts in, what an inverted index says of them out: cosines, or shares of terms."""

from __future__ import annotations

import torch
from scipy import sparse
from torch import Tensor, nn

from reeltag.data.ragged import Ragged

_AT_ONCE = 1 << 24
"""Entries of the index looked at in one go."""
_ALWAYS = 100
"""A term of so few posts is never too frequent."""


class TermIndex(nn.Module):
    """For each term (an id of any kind) the rows that have it, each with a weight.

    `score` sums, for B posts, the weights of the rows that share their terms: the cost of a
    post is the length of its terms' lists, not the number of rows times that of terms.
    """

    def __init__(self) -> None:
        super().__init__()
        self._made: tuple[Tensor, sparse.csr_matrix] | None = None
        whole = torch.int64
        self.terms: Tensor
        self.offsets: Tensor
        self.rows: Tensor
        self.weights: Tensor
        self.count: Tensor
        self.register_buffer("terms", torch.zeros(0, dtype=whole))
        self.register_buffer("offsets", torch.zeros(1, dtype=whole))
        self.register_buffer("rows", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("weights", torch.zeros(0))
        self.register_buffer("count", torch.zeros((), dtype=whole))

    def store(self, rows: int, owner: Tensor, term: Tensor, weight: Tensor) -> None:
        """Keep (m,) entries: the row, the position of the term, the weight."""
        lists = Ragged.from_pairs(term, torch.arange(len(term)), len(self.terms))
        self.offsets, self.rows = lists.offsets, owner[lists.values].int()
        self.weights, self.count = weight[lists.values], torch.tensor(rows)

    def known(self, posts: Ragged) -> tuple[Tensor, Tensor]:
        """The terms of posts that the index has, as (m,) each: post, position of the term."""
        owner = posts.row_of_value
        if not len(self.terms):
            return owner[:0], owner[:0]
        place = torch.searchsorted(self.terms, posts.values).clamp(max=len(self.terms) - 1)
        found = self.terms[place] == posts.values
        return owner[found], place[found]

    def score(self, posts: int, owner: Tensor, term: Tensor, weight: Tensor) -> Tensor:
        """Σ over common terms of weight · weight in the index: (posts, rows).

        `owner` ascends. On the CPU it is a product of sparse matrices, which adds up the terms
        of a post in their order, as the loop over blocks of the index does.
        """
        count = int(self.count)
        if self.weights.device.type == "cpu":
            offsets = torch.searchsorted(owner, torch.arange(posts + 1))
            asked = sparse.csr_matrix(
                (weight.numpy(), term.int().numpy(), offsets.int().numpy()),
                shape=(posts, len(self.terms)),
            )
            return torch.from_numpy((asked @ self._table(count)).toarray())
        scores = torch.zeros(posts, count, device=self.weights.device)
        if not len(term) or not count:
            return scores
        lists = Ragged(self.rows, self.offsets)
        ends = torch.cumsum(lists.lengths[term], 0)
        start = 0
        while start < len(term):  # as many terms at once as a bounded number of entries allows
            before = ends[start - 1] if start else ends.new_zeros(())
            end = max(start + 1, int(torch.searchsorted(ends, before + _AT_ONCE, right=True)))
            where, of = lists.positions(term[start:end])
            flat = owner[start:end][of] * count + self.rows[where]
            scores.view(-1).index_add_(0, flat, weight[start:end][of] * self.weights[where])
            start = end
        return scores

    def _table(self, count: int) -> sparse.csr_matrix:
        """The index (terms, rows) as scipy has it, made again when it was replaced."""
        if self._made is None or self._made[0] is not self.weights:
            parts = self.weights.numpy(), self.rows.numpy(), self.offsets.numpy()
            table = sparse.csr_matrix(parts, shape=(len(self.terms), count), copy=False)
            self._made = self.weights, table
        return self._made[1]


class Postings(TermIndex):
    """cos(p, q) = Σ_t x_pt x_qt,  x_pt = idf(t) / |idf of p's terms|,  idf = ln(posts / with t)

    Terms of fewer than `least` training posts are not kept. Nor are those of more than a
    share `most` of them (and of more than 100): they weigh next to nothing and cost by far
    the most. Shapes: terms of B posts in, (B, kept) out.
    """

    def __init__(self, least: int = 2, most: float = 0.05) -> None:
        super().__init__()
        self.least, self.most = least, most
        self.idf: Tensor
        self.register_buffer("idf", torch.zeros(0))

    def fit(self, posts: Ragged, kept: Tensor | None = None) -> None:
        """Weigh the distinct terms of all training posts; list those of the posts `kept`."""
        terms, counts = torch.unique(posts.values, return_counts=True)
        enough = (counts >= self.least) & (counts <= max(_ALWAYS, self.most * len(posts)))
        self.terms = terms[enough]
        self.idf = (max(1, len(posts)) / counts[enough].double()).log().float()
        chosen = posts if kept is None else posts.select(kept)
        self.store(len(chosen), *self._weighed(chosen))

    def _weighed(self, posts: Ragged) -> tuple[Tensor, Tensor, Tensor]:
        owner, term = self.known(posts)
        weight = self.idf[term]
        squares = weight.new_zeros(len(posts)).index_add(0, owner, weight.square())
        return owner, term, weight / squares.sqrt().clamp(min=1e-12)[owner]

    def forward(self, posts: Ragged) -> Tensor:
        return self.score(len(posts), *self._weighed(posts))


class Shares(TermIndex):
    """share(p, j) = Σ of the importances of the terms that p and j have / Σ of all of j's

    Rows (hashtags, say) have distinct terms; one without any has share 0. Shapes: terms of B
    posts in, (B, rows) out, each from 0 to 1.
    """

    def fit(self, rows: Ragged, importance: Tensor) -> None:
        """Keep the terms of `rows`; `importance` (m,) of each of its values, above 0."""
        self.terms = torch.unique(rows.values)
        owner, term = self.known(rows)
        total = importance.new_zeros(len(rows)).index_add(0, owner, importance)
        self.store(len(rows), owner, term, importance / total[owner])

    def forward(self, posts: Ragged) -> Tensor:
        owner, term = self.known(posts)
        return self.score(len(posts), owner, term, self.weights.new_ones(len(term)))

    def common(self, posts: Ragged, row: int) -> Tensor:
        """The terms that the one post has in common with `row`, those that count most first."""
        _, term = self.known(posts)
        where, of = Ragged(self.rows, self.offsets).positions(term)
        found = self.rows[where] == row
        order = torch.argsort(self.weights[where[found]], descending=True, stable=True)
        return self.terms[term[of[found][order]]]
