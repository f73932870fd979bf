"""Scores of several scorers in; one fused order, the best of it, and what is known of each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.explaining import Facts
from reeltag.models.layers.growing import longer
from reeltag.models.layers.scores import Listed, Scores, Whole, listed_sums
from reeltag.models.layers.uses import UserUses

DEPTH = 256
"""Places of each scorer that count: a hashtag further down has rank DEPTH + 1."""
FIRST = 10
"""Places of a scorer that count as its first ones, in what is said of agreement."""
_FLAT = 5
"""Of reciprocal-rank fusion: how alike the first ranks count. The usual value is 60; smaller
lets in what a single scorer is sure of (chosen on validation posts)."""
_LITTLE = 1e-4
"""Of popularity in what is fused: less than any first place is worth."""


@dataclass(frozen=True)
class Shortlisted:
    """fused from 0 to 1; candidates (B, C) hashtags, features (B, C, F) of each; the first

    places of each scorer (B, scorers, D).
    """

    fused: Listed
    candidates: Tensor
    features: Tensor
    first: Tensor


class Shortlisting(nn.Module):
    """fused = the mean over scorers of 6 / (5 + rank)        (Cormack et al., SIGIR 2009)

    over the scorers' first places; popularity, far below, orders what none of them has there;
    and of each candidate, for the second stage to learn from (`columns` names them in order):

    * of each scorer: its score, ln(rank), and the score as a share of the post's best
    * the fused score; uses by the post's user, and as a share of the user's posts
    * of the hashtag: uses and users, as ln(1 + x)
    * of each scorer whose posts vote: the best single vote
    * of the post: its user's posts, different hashtags and most uses of one; its words; its pieces

    A training post's own uses are taken off its user's when that post is asked about.
    """

    def __init__(self, users: int, hashtags: int) -> None:
        super().__init__()
        self.uses = UserUses(users, hashtags)
        self.user_posts: Tensor
        self.popular: Tensor
        self.register_buffer("user_posts", torch.zeros(users))
        self.register_buffer("popular", torch.zeros(2, hashtags))
        self._ordered: tuple[Tensor, Tensor] | None = None

    def fit(self, training: TrainingSet) -> None:
        """Count uses and posts of users and of hashtags."""
        self.uses.fit(training)
        users = training.posts.users
        self.user_posts = torch.bincount(users[users >= 0], minlength=self.uses.users).float()
        self.popular = self._popular()

    def forward(
        self,
        scores: Sequence[Scores],
        nearest: Sequence[Scores],
        users: Tensor,
        own: Tensor,
        lengths: Tensor,
        most: int,
        among: Tensor | None = None,
    ) -> Shortlisted:
        """Shortlist `most` hashtags of B posts by the scores of each scorer.

        nearest: of the scorers whose posts vote, the best vote for a hashtag; lengths (B, 2):
        words and pieces of the captions; among (H,): which may be shortlisted.
        """
        first = self._first(scores)
        fused = self._fused(first)
        if among is None:
            best = fused.top(min(most, len(self.order)), self.order)
        else:
            some = torch.where(among, fused.whole(), -1.0)
            best = Whole(some).top(min(most, int(among.sum())), self.order)
        both = zip(scores, first, strict=True)
        picked = torch.stack([found.at(torch.cat([best, top[:, :1]], 1)) for found, top in both])
        picked, highest = picked[:, :, :-1], picked[:, :, -1:]
        ranks = self._places(first, best)
        of_scorers = [picked, ranks.log1p(), picked / highest.clamp(min=1e-12)]
        uses, posts = self.uses.listed(users, own), self.posts_of(users, own)
        row = uses.rows.row_of_value
        different = torch.zeros_like(posts).index_add(0, row, (uses.values > 0).float())
        most_uses = torch.zeros_like(posts).scatter_reduce(0, row, uses.values, "amax")
        of_post = torch.stack([posts, different, most_uses, *lengths.T.float()], 1)
        used = uses.at(best)
        of_pair = [
            fused.at(best),
            used,
            used / posts.clamp(min=1).unsqueeze(1),
            *self.popular[:, best],
            *(votes.at(best) for votes in nearest),
        ]
        features = torch.cat(
            [
                torch.cat(of_scorers).permute(1, 2, 0),
                torch.stack(of_pair, 2),
                of_post.unsqueeze(1).expand(-1, best.shape[1], -1),
            ],
            2,
        )
        return Shortlisted(fused, best, features, torch.stack(first, 1))

    def columns(self, scorers: Sequence[str], voting: Sequence[str]) -> list[tuple[str, str]]:
        """(group, name) of each of the F features, in order; a scorer's group is its name."""
        return [
            *((scorer, name) for name in ("score", "rank", "share") for scorer in scorers),
            ("agreement", "fused"),
            *(("history", name) for name in ("uses", "share of posts")),
            *(("popular", name) for name in ("uses", "users")),
            *((scorer, "nearest") for scorer in voting),
            *(("post", name) for name in ("posts", "hashtags", "most uses", "words", "pieces")),
        ]

    def _first(self, scores: Sequence[Scores]) -> list[Tensor]:
        """The first places of each scorer (B, up to DEPTH)."""
        return [found.top(min(DEPTH, len(self.order)), self.order) for found in scores]

    def _fused(self, first: Sequence[Tensor]) -> Listed:
        """Who is among the first places of any scorer; the others have what popularity adds."""
        posts, depth = first[0].shape
        count = torch.arange(posts, device=first[0].device)
        starts = torch.arange(0, 1 + len(first) * posts * depth, depth, device=count.device)
        usual = self.little()
        rows, values = listed_sums(
            Ragged(torch.cat(list(first)).flatten(), starts),
            (_worth(first[0]) / len(first)).repeat(len(first) * posts),
            posts,
            count.repeat_interleave(len(first)),
            torch.cat([count.unsqueeze(1) + posts * s for s in range(len(first))], 1).flatten(),
            usual.new_ones(len(first) * posts),
            usual,
        )
        return Listed(rows, values, usual)

    def _places(self, first: Sequence[Tensor], hashtags: Tensor) -> Tensor:
        """Where each scorer has the `hashtags` (B, C) of a post among its `first` (B, D).

        Float32 (scorers, B, C); `DEPTH` if nowhere.
        """
        every, depth = torch.cat(list(first)), first[0].shape[1]
        starts = torch.arange(0, 1 + every.numel(), depth, device=every.device)
        places = torch.arange(depth, device=every.device).float().repeat(len(every))
        nowhere = torch.full_like(self.popular[0], DEPTH)
        found = Listed(Ragged(every.flatten(), starts), places, nowhere)
        return found.at(hashtags.repeat(len(first), 1)).view(len(first), *hashtags.shape)

    def votes(self, first: Tensor, hashtags: Tensor) -> tuple[Tensor, Tensor]:
        """Of posts' `hashtags` (B, k) by each scorer: places from 0 up to `DEPTH`, and votes

        from 0 to 1; (scorers, B, k) each. first (B, scorers, D): its first places.
        """
        ranks = self._places(first.unbind(1), hashtags)
        return ranks, torch.where(ranks < DEPTH, (_FLAT + 1) / (_FLAT + 1 + ranks), 0.0)

    def little(self) -> Tensor:
        """What popularity adds to the votes (hashtags,)."""
        return _LITTLE * self.popular[0] / self.popular[0].max().clamp(min=1)

    def posts_of(self, users: Tensor, own: Tensor) -> Tensor:
        """Training posts of each user (B,), the one that is asked about not counted."""
        known = users >= 0
        return torch.where(known, self._posts(users), 0.0) - (known & (own >= 0)).float()

    def _posts(self, users: Tensor) -> Tensor:
        if not len(self.user_posts):
            return self.user_posts.new_zeros(len(users))
        return self.user_posts[users.clamp(min=0)]

    def facts(
        self, first: Tensor, users: Tensor, own: Tensor, hashtags: Tensor
    ) -> dict[str, list[Facts]]:
        """Of one post's `hashtags` (k,), by the first places of each scorer: for each group

        agreement: `count` of the `of` scorers have it among their first `first`; history:
        `uses` on the user's `posts`; popular: the `users` who used it.
        """
        asked = hashtags.unsqueeze(0)
        ranks, _ = self.votes(first, asked)
        agreed = (ranks[:, 0] < FIRST).sum(0).tolist()
        uses = self.uses.listed(users, own).at(asked)[0].int().tolist()
        posts = self.posts_of(users, own)
        used_by = self.uses.users_of()[hashtags].tolist()
        return {
            "agreement": [{"count": n, "of": len(ranks), "first": FIRST} for n in agreed],
            "history": [{"uses": n, "posts": int(posts)} if n else {} for n in uses],
            "popular": [{"users": n} if n else {} for n in used_by],
        }

    @property
    def order(self) -> Tensor:
        """All hashtags by falling uses (H,), equal ones by their ids; made once for each."""
        if self._ordered is None or self._ordered[0] is not self.popular:
            order = torch.argsort(self.popular[0], descending=True, stable=True)
            self._ordered = self.popular, order
        return self._ordered[1]

    def _popular(self) -> Tensor:
        return torch.stack([self.uses.of_all(), self.uses.users_of()]).float().log1p()

    def grow(self, users: int, hashtags: int) -> None:
        """Make room for so many users and hashtags in all."""
        self.uses.grow(users, hashtags)
        self.user_posts = longer(self.user_posts, users)
        self.popular = self._popular()

    def observe(self, users: Tensor, hashtags: Ragged) -> None:
        """Count published posts too: their users (B,) and the hashtags each carries."""
        self.uses.observe(users, hashtags)
        own = torch.bincount(users[users >= 0], minlength=len(self.user_posts))
        self.user_posts = self.user_posts + own
        self.popular = self._popular()


def _worth(first: Tensor) -> Tensor:
    """Of each of the first places (D,)."""
    return (_FLAT + 1) / (_FLAT + 1 + torch.arange(first.shape[1], device=first.device))
