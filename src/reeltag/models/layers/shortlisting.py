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
    """fused (B, H) from 0 to 1; candidates (B, C) hashtags, features (B, C, F) of each."""

    fused: Tensor
    candidates: Tensor
    features: Tensor


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

    def fit(self, training: TrainingSet) -> None:
        """Count uses and posts of users and of hashtags."""
        self.uses.fit(training)
        users = training.posts.users
        self.user_posts = torch.bincount(users[users >= 0], minlength=self.uses.users).float()
        self.popular = self._popular()

    def forward(
        self,
        scores: Sequence[Tensor],
        nearest: Sequence[Tensor],
        users: Tensor,
        own: Tensor,
        lengths: Tensor,
        most: int,
        among: Tensor | None = None,
    ) -> Shortlisted:
        """Shortlist `most` hashtags of B posts by the scores (B, H) of each scorer.

        nearest (B, H) each: of the scorers whose posts vote, the best vote for a hashtag;
        lengths (B, 2): words and pieces of the captions; among (H,): which may be shortlisted.
        """
        # A scorer at a time: its numbers for all hashtags then stay near the processor.
        first = [_best(found, DEPTH) for found in scores]
        places = torch.arange(first[0].shape[1], device=users.device)
        worth = (_FLAT + 1) / (_FLAT + 1 + places) / len(scores)
        fused = self.little().repeat(len(users), 1)
        for top in first:
            fused.scatter_add_(1, top, worth.expand_as(top))
        if among is None:
            best = _best(fused, most)
        else:
            best = _best(torch.where(among, fused, -1.0), min(most, int(among.sum())))
        picked = torch.stack([found.gather(1, best) for found in scores])
        highest = torch.stack(
            [f.gather(1, top[:, :1]) for f, top in zip(scores, first, strict=True)]
        )
        ranks = torch.stack([_places(top, best, fused.shape[1]) for top in first])
        of_scorers = [picked, ranks.log1p(), picked / highest.clamp(min=1e-12)]
        uses = self.uses(users, own)
        posts = self.posts_of(users, own)
        of_post = torch.stack(
            [posts, (uses > 0).sum(1).float(), uses.amax(1), *lengths.T.float()], 1
        )
        used = uses.gather(1, best)
        of_pair = [
            fused.gather(1, best),
            used,
            used / posts.clamp(min=1).unsqueeze(1),
            *self.popular[:, best],
            *(votes.gather(1, best) for votes in nearest),
        ]
        features = torch.cat(
            [
                torch.cat(of_scorers).permute(1, 2, 0),
                torch.stack(of_pair, 2),
                of_post.unsqueeze(1).expand(-1, best.shape[1], -1),
            ],
            2,
        )
        return Shortlisted(fused, best, features)

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

    def votes(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Places from 0 up to `DEPTH`, and votes from 0 to 1, by scorer (scorers, B, H)."""
        first = _best(scores, DEPTH)
        places = torch.arange(first.shape[2], device=scores.device).expand_as(first)
        ranks = torch.full(scores.shape, DEPTH, dtype=torch.int16, device=scores.device)
        ranks.scatter_(2, first, places.to(torch.int16))
        votes = torch.zeros_like(scores).scatter_(2, first, (_FLAT + 1) / (_FLAT + 1 + places))
        return ranks, votes

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
        self, scores: Tensor, users: Tensor, own: Tensor, hashtags: Tensor
    ) -> dict[str, list[Facts]]:
        """Of one post's `hashtags` (k,), by its `scores` (scorers, 1, H): for each group

        agreement: `count` of the `of` scorers have it among their first `first`; history:
        `uses` on the user's `posts`; popular: the `users` who used it.
        """
        ranks, _ = self.votes(scores)
        agreed = (ranks[:, 0, hashtags] < FIRST).sum(0).tolist()
        uses, posts = self.uses(users, own)[0, hashtags].int().tolist(), self.posts_of(users, own)
        used_by = self.uses.users_of()[hashtags].tolist()
        return {
            "agreement": [{"count": n, "of": len(scores), "first": FIRST} for n in agreed],
            "history": [{"uses": n, "posts": int(posts)} if n else {} for n in uses],
            "popular": [{"users": n} if n else {} for n in used_by],
        }

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


def _best(scores: Tensor, most: int) -> Tensor:
    """Columns of the largest along the last dimension, best first."""
    if most >= scores.shape[-1]:  # all of them: the order of equal ones is that of columns
        return torch.argsort(scores, dim=-1, descending=True, stable=True)
    return torch.topk(scores, most, dim=-1).indices


def _places(first: Tensor, asked: Tensor, hashtags: int) -> Tensor:
    """Where each row has the hashtags `asked` (B, C) among its `first` (B, D), `DEPTH` if not."""
    places = torch.arange(first.shape[1], dtype=torch.int16, device=first.device)
    table = torch.full((len(first), hashtags), DEPTH, dtype=torch.int16, device=first.device)
    return table.scatter_(1, first, places.expand_as(first)).gather(1, asked).float()
