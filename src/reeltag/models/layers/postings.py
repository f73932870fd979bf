"""Terms of posts in, what an inverted index says of them out: cosines, or shares of terms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from reeltag.data.ragged import Ragged, inserted, spans
from reeltag.models.layers.list_sums import ListSums

_ALWAYS = 100
"""A term of so few posts is never too frequent."""

_RECENT = 1 << 14
"""Entries of added rows that wait, in a list of their own, to be put into the index together."""


class TermIndex(nn.Module):
    """For each term (an id of any kind) the rows that have it, each with a weight.

    `score` sums, for B posts, the weights of the rows that share their terms: the cost of a
    post is the length of its terms' lists, not the number of rows times that of terms.

    Rows can be added: theirs are the last columns. Their entries wait until there are enough
    of them to be worth a copy of the index, or until it is stored.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sums = ListSums()
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
        # Added entries by term, ascending: not stored, since `settle` comes before.
        self.recent_terms: Tensor
        self.recent_rows: Tensor
        self.recent_weights: Tensor
        self.register_buffer("recent_terms", torch.zeros(0, dtype=whole), persistent=False)
        self.register_buffer("recent_rows", self.rows.clone(), persistent=False)
        self.register_buffer("recent_weights", torch.zeros(0), persistent=False)
        self.register_state_dict_pre_hook(_settled)  # type: ignore[no-untyped-call]

    def store(self, rows: int, owner: Tensor, term: Tensor, weight: Tensor) -> None:
        """Keep (m,) entries: the row, the position of the term, the weight."""
        lists = Ragged.from_pairs(term, torch.arange(len(term)), len(self.terms))
        self.offsets, self.rows = lists.offsets, owner[lists.values].int()
        self.weights, self.count = weight[lists.values], torch.tensor(rows)
        self._clear()

    def known(self, posts: Ragged) -> tuple[Tensor, Tensor]:
        """The terms of posts that the index has, as (m,) each: post, position of the term."""
        owner = posts.row_of_value
        if not len(self.terms):
            return owner[:0], owner[:0]
        place = torch.searchsorted(self.terms, posts.values).clamp(max=len(self.terms) - 1)
        found = self.terms[place] == posts.values
        return owner[found], place[found]

    def score(
        self, posts: int, owner: Tensor, term: Tensor, weight: Tensor, into: Tensor | None = None
    ) -> Tensor:
        """Σ over common terms of weight · weight in the index: (posts, rows). `owner` ascends.

        It is added to `into`, where that is given.
        """
        lists = Ragged(self.rows, self.offsets)
        scores = self._sums(lists, self.weights, int(self.count), posts, owner, term, weight, into)
        return self._with_recent(scores, owner, term, weight)

    def _with_recent(self, scores: Tensor, owner: Tensor, term: Tensor, weight: Tensor) -> Tensor:
        """Add what the rows say that were added and not put into the index yet."""
        count = scores.shape[1]
        if len(self.recent_terms):
            first = torch.searchsorted(self.recent_terms, term)
            last = torch.searchsorted(self.recent_terms, term, right=True)
            where, of = spans(first, last - first)
            flat = owner[of] * count + self.recent_rows[where]
            scores.view(-1).index_add_(0, flat, weight[of] * self.recent_weights[where])
        return scores

    def append(self, rows: int, owner: Tensor, term: Tensor, weight: Tensor) -> None:
        """Keep (m,) entries of so many further rows; `owner` counts these from 0."""
        order = torch.argsort(term, stable=True)
        term, owner = term[order], self.count + owner[order]
        places = torch.searchsorted(self.recent_terms, term, right=True)
        self.recent_terms = inserted(self.recent_terms, places, term)
        self.recent_rows = inserted(self.recent_rows, places, owner)
        self.recent_weights = inserted(self.recent_weights, places, weight[order])
        self.count = self.count + rows
        if len(self.recent_terms) > _RECENT:
            self.settle()

    def settle(self) -> None:
        """Put the entries of added rows into the index."""
        if not len(self.recent_terms):
            return
        places = self.offsets[self.recent_terms + 1]
        self.offsets = Ragged(self.rows, self.offsets).offsets_with(self.recent_terms)
        self.rows = inserted(self.rows, places, self.recent_rows)
        self.weights = inserted(self.weights, places, self.recent_weights)
        self._clear()

    def _clear(self) -> None:
        self.recent_terms = self.recent_terms.new_empty(0)
        self.recent_rows = self.recent_rows.new_empty(0)
        self.recent_weights = self.recent_weights.new_empty(0)


def _settled(index: nn.Module, prefix: str, keep_vars: bool) -> None:
    assert isinstance(index, TermIndex)
    index.settle()


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

    def add(self, posts: Ragged) -> None:
        """List further posts, weighed as those of `fit` were; terms not kept stay unknown."""
        self.append(len(posts), *self._weighed(posts))


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

    def forward(self, posts: Ragged, by: float = 1.0, into: Tensor | None = None) -> Tensor:
        """`by` times the shares, added to `into` where that is given."""
        owner, term = self.known(posts)
        weight = self.weights.new_full((len(term),), by)
        return self.score(len(posts), owner, term, weight, into)

    def common(self, posts: Ragged, row: int) -> Tensor:
        """The terms that the one post has in common with `row`, those that count most first."""
        self.settle()
        _, term = self.known(posts)
        where, of = Ragged(self.rows, self.offsets).positions(term)
        found = self.rows[where] == row
        order = torch.argsort(self.weights[where[found]], descending=True, stable=True)
        return self.terms[term[of[found][order]]]

    def add(self, rows: Ragged, importance: Callable[[Tensor], Tensor] = torch.ones_like) -> None:
        """Keep further rows, and their terms where these are new.

        `importance` makes that of their values (m,), above 0, of how many rows have the term.
        """
        self.settle()
        fresh = torch.unique(rows.values)
        fresh = fresh[~torch.isin(fresh, self.terms)]
        places = torch.searchsorted(self.terms, fresh)
        self.terms = inserted(self.terms, places, fresh)
        self.offsets = inserted(self.offsets, places, self.offsets[places])
        owner, term = self.known(rows)
        carriers = Ragged(self.rows, self.offsets).lengths + torch.bincount(
            term, minlength=len(self.terms)
        )
        weight = importance(carriers[term]).float()
        total = weight.new_zeros(len(rows)).index_add(0, owner, weight)
        self.append(len(rows), owner, term, weight / total[owner])
