"""Recency-decayed user history: what the user used often and lately, then popular hashtags."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import NO_TIME, PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged, inserted
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.growing import by_use, longer
from reeltag.models.layers.scores import Listed, listed_sums
from reeltag.models.listing import Listing
from reeltag.models.observing import Observing


class BllConfig(ModelConfig):
    """Settings of `Bll`."""

    decay: float = Field(0.5, ge=0, le=5)
    """d: 0 counts uses alone, larger forgets faster (0.5 is the equation's usual value)."""


class Bll(Listing, Explaining, Observing):
    """The base-level learning equation (Kowald et al., 2017) over the user's own uses.

        B(j, u) = ln Σ_{uses of j by u} (t_post - t_use)^(-d)
        score   = softmax_j B(j, u)                             for hashtags the user used
                  least of these · uses of j / (1 + most uses)  for the others

    softmax(ln x) is x's share of the sum, so the unit of time cancels; it matters only to
    the floor below. A training post's own uses are left out when that post is asked about.

    Departures from the paper, which mixes in popularity with a weight: popularity only
    orders what the user never used. A post may be older than the uses it is compared with
    when a split is not by time: the age is then the distance in time, and never less than
    one second. Where any training post lacks a time, the number of the user's own posts
    lying between stands for the age (posts in the order of the dataset; a post from outside
    comes after all of them). A post without a time comes one second after the user's newest.
    A user never seen in training gets the popular hashtags.
    """

    name = "bll"
    Config = BllConfig
    config: BllConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        whole = torch.int64
        self.buffer("uses", torch.zeros(sizes.hashtags, dtype=whole))
        self.buffer("use_offsets", torch.zeros(sizes.users + 1, dtype=whole))
        self.buffer("use_tags", torch.zeros(0, dtype=whole))
        self.buffer("use_posts", torch.zeros(0, dtype=whole))
        self.buffer("use_clocks", torch.zeros(0, dtype=whole))
        self.buffer("post_clocks", torch.zeros(0, dtype=whole))
        self.buffer("newest", torch.zeros(sizes.users, dtype=whole))
        self.buffer("timed", torch.zeros((), dtype=torch.bool))

    def fit(self, training: TrainingSet) -> None:
        posts, hashtags = training.triples
        self.uses = torch.bincount(hashtags, minlength=self.sizes.hashtags)
        users, times = training.posts.users, training.posts.times
        self.timed = (times != NO_TIME).all()
        self.post_clocks = times if bool(self.timed) else _order_within(users)
        known = (users[posts] >= 0).nonzero().squeeze(1)
        by_user = Ragged.from_pairs(users[posts[known]], known, self.sizes.users)
        self.use_offsets, kept = by_user.offsets, by_user.values
        self.use_tags, self.use_posts = hashtags[kept], posts[kept]
        self.use_clocks = self.post_clocks[self.use_posts]
        someone = users >= 0
        lowest = torch.full((self.sizes.users,), NO_TIME, dtype=torch.int64)
        self.newest = lowest.scatter_reduce(0, users[someone], self.post_clocks[someone], "amax")

    def encode(self, posts: PostBatch) -> Encoded:
        clocks = self._next(posts)
        if len(self.post_clocks):
            inside = self.post_clocks[posts.own.clamp(min=0)]
            clocks = torch.where(posts.own >= 0, inside, clocks)
        return {"users": posts.users, "own": posts.own, "clocks": clocks}

    def _next(self, posts: PostBatch) -> Tensor:
        """The clock of each of B posts (B,) if it is the next one of its user."""
        if not self.sizes.users:
            return posts.times
        newest = self.newest[posts.users.clamp(min=0)]
        after = torch.where(newest == NO_TIME, 0, newest + 1)
        return torch.where((posts.times != NO_TIME) & self.timed, posts.times, after)

    def listed(self, encoded: Encoded) -> Listed:
        users, own, clocks = encoded["users"], encoded["own"], encoded["clocks"]
        rows = (users >= 0).nonzero().squeeze(1)
        where, owner = Ragged(self.use_tags, self.use_offsets).positions(users[rows])
        owner = rows[owner]
        ages = (clocks[owner] - self.use_clocks[where]).abs().clamp(min=1)
        weights = ages.double().pow(-self.config.decay).float()
        weights = weights * (self.use_posts[where] != own[owner])
        posts, usual = torch.arange(len(users), device=users.device), by_use(self.uses)
        uses = Ragged.from_pairs(owner, self.use_tags[where], len(users))
        ones, zeros = weights.new_ones(len(users)), torch.zeros_like(usual)
        used, recency = listed_sums(uses, weights, len(users), posts, posts, ones, zeros)
        row, tag = used.row_of_value, used.values
        total = weights.new_zeros(len(users)).index_add(0, row, recency)
        share = recency / total.clamp(min=1e-30)[row]
        floors = torch.where(recency > 0, share, 1.0)
        least = ones.scatter_reduce(0, row, floors, "amin")
        values = torch.where(recency > 0, share, least[row] * usual[tag])
        return Listed(used, values, usual, least)

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        self.uses = longer(self.uses, self.sizes.hashtags)
        self.use_offsets = Ragged(self.use_tags, self.use_offsets).longer(self.sizes.users).offsets
        self.newest = longer(self.newest, self.sizes.users, NO_TIME)

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        self.uses = self.uses + torch.bincount(hashtags.values, minlength=self.sizes.hashtags)
        clocks = self._next(posts)
        clocks = torch.where(
            (posts.times != NO_TIME) & self.timed, clocks, clocks + _order_within(posts.users)
        )
        someone = posts.users >= 0
        self.newest = self.newest.scatter_reduce(0, posts.users[someone], clocks[someone], "amax")
        owner = hashtags.row_of_value
        known = (posts.users[owner] >= 0).nonzero().squeeze(1)
        known = known[torch.argsort(posts.users[owner[known]], stable=True)]
        owner, tags = owner[known], hashtags.values[known]
        users = posts.users[owner]
        places = self.use_offsets[users + 1]  # behind what each has used so far
        self.use_offsets = Ragged(self.use_tags, self.use_offsets).offsets_with(users)
        self.use_tags = inserted(self.use_tags, places, tags)
        self.use_posts = inserted(self.use_posts, places, len(self.post_clocks) + owner)
        self.use_clocks = inserted(self.use_clocks, places, clocks[owner])
        self.post_clocks = torch.cat([self.post_clocks, clocks])

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`uses` by the user; `ago`: which of the user's posts carries it last, 1 the newest.

        Only posts with hashtags that are known are counted; a post that lies among them is
        asked about as `score_all` sees it, so `ago` is then by distance in time.
        """
        said: list[Facts] = [{} for _ in hashtags]
        user, own = int(posts.users[0]), int(posts.own[0])
        if user < 0:
            return said
        mine = slice(*self.use_offsets[user : user + 2].tolist())
        tags, of = self.use_tags[mine], self.use_posts[mine]
        ages = (encoded["clocks"] - self.use_clocks[mine]).abs()
        tags, of, ages = (x[self.use_posts[mine] != own] for x in (tags, of, ages))
        for place, tag in enumerate(hashtags.tolist()):
            uses = ages[tags == tag]
            if len(uses):
                nearer = len(torch.unique(of[ages < uses.min()]))
                said[place] = {"uses": len(uses), "ago": 1 + nearer}
        return said


def _order_within(users: Tensor) -> Tensor:
    """The place of each post (n,) among the posts of its user: 0, 1, 2, …"""
    order = torch.argsort(users, stable=True)
    ids = users[order]
    first = torch.searchsorted(ids, ids)
    places = torch.empty_like(users)
    places[order] = torch.arange(len(users), device=users.device) - first
    return places
