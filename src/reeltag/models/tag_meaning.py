"""Tag meaning: hashtags whose name, and whose posts, mean what the caption means."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.grid import grid_counts, grid_product, on_grid
from reeltag.models.layers.growing import by_use, longer
from reeltag.models.layers.naming import caption_feature, name_vectors
from reeltag.models.observing import Observing

_BLOCK = 8192


class TagMeaningConfig(ModelConfig):
    """Settings of `TagMeaning`."""

    prior: float = Field(3.0, gt=0)
    """m: the name counts as much as so many posts."""
    power: float = Field(0.75, ge=0, le=1)
    """p: 1 compares directions alone; smaller favours names over means of many posts, which
    are short. Unseen hashtags gain by that what often used ones lose."""


class TagMeaning(Explaining, Observing):
    """score(post, j) = x · t_j / |t_j|^p,   t_j = (m name_j + Σ_{q carries j} x_q) / (m + n_j)

    x is the post's caption and name_j the words of j's name, as vectors of one extractor (such
    as `minilm`), the mean caption and the mean name taken off, of length 1. n_j counts the
    training posts q: a hashtag never used is its name alone, an often used one the mean of its
    posts. Popular hashtags order the rest. A training post is taken off its own hashtags when
    it is asked about. Vectors lie on a grid (`on_grid`), so a score does not show how posts
    were batched, nor the order in which they were observed.

    Raises `MissingFeatureError` where no feature is a vector of captions whose extractor can
    read names too, and `MissingExtraError` where that is not installed.
    """

    name = "tag-meaning"
    Config = TagMeaningConfig
    needs_features = True
    config: TagMeaningConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.feature = caption_feature(sizes.manifests)
        (dim,) = self.feature.shape
        self.mean: Tensor
        self.sums: Tensor
        self.uses: Tensor
        self.buffer("mean", torch.zeros(dim))
        self.buffer("sums", torch.zeros(sizes.hashtags, dim))
        self.buffer("uses", torch.zeros(sizes.hashtags))
        self.buffer("backoff", torch.zeros(sizes.hashtags))
        self.buffer("own_offsets", torch.zeros(1, dtype=torch.int64))
        self.buffer("own_tags", torch.zeros(0, dtype=torch.int64))
        self._made: tuple[Tensor, Tensor, Tensor] | None = None

    def fit(self, training: TrainingSet) -> None:
        name = self.feature.name
        blocks = torch.split(torch.arange(len(training.posts)), _BLOCK)
        total, there = torch.zeros(len(self.mean), dtype=torch.float64), 0
        for block in blocks:
            posts = training.batch(block)
            total += posts.vectors[name][posts.present[name]].sum(0, dtype=torch.float64)
            there += int(posts.present[name].sum())
        self.mean = (total / max(1, there)).float()
        self._gather(training)

    def _gather(self, training: TrainingSet) -> None:
        """t of every hashtag, the mean being known."""
        H, m, name = self.sizes.hashtags, self.config.prior, self.feature.name
        blocks = torch.split(torch.arange(len(training.posts)), _BLOCK)
        table = m * on_grid(name_vectors(self.feature, training.hashtags.names))
        self.uses = torch.zeros(H)
        for block in blocks:
            tags, posts = training.posts.hashtags.select(block), training.batch(block)
            owner = tags.row_of_value
            table.index_add_(0, tags.values, self._vectors(posts)[owner])
            self.uses.index_add_(0, tags.values, posts.present[name][owner].float())
        self.sums = table
        self.backoff = by_use(self.uses, 1e-6)
        own = training.posts.hashtags
        self.own_offsets, self.own_tags = own.offsets.clone(), own.values.clone()

    def _polar(self) -> tuple[Tensor, Tensor]:
        """Directions of `sums` (H, dim), as `grid_counts`, and lengths (H,); made once for each."""
        if self._made is None or self._made[0] is not self.sums:
            self._made = self.sums, *_polar(self.sums)
        return self._made[1:]

    def _vectors(self, posts: PostBatch) -> Tensor:
        """x (B, dim), zeros for a post without a caption."""
        there = posts.present[self.feature.name].unsqueeze(1)
        values = torch.where(there, posts.vectors[self.feature.name] - self.mean, 0.0)
        return on_grid(normalize(values, dim=1))

    def encode(self, posts: PostBatch) -> Encoded:
        return {"vectors": self._vectors(posts), "own": posts.own}

    def score_all(self, encoded: Encoded) -> Tensor:
        x, p = encoded["vectors"], self.config.power
        directions, lengths = self._polar()
        scores = grid_product(grid_counts(x), directions)
        scores *= (lengths / (self.config.prior + self.uses)).pow(1 - p)
        rows = ((encoded["own"] >= 0) & x.any(1)).nonzero().squeeze(1)
        if len(rows):
            where, of = Ragged(self.own_tags, self.own_offsets).positions(encoded["own"][rows])
            tags, mine = self.own_tags[where], x[rows[of]]
            count = (self.config.prior + self.uses[tags]).unsqueeze(1)
            others = (self.sums[tags] - mine) / (count - 1).clamp(min=1e-6)
            scores[rows[of], tags] = (mine * others).sum(1) / others.norm(dim=1).clamp(
                min=1e-6
            ).pow(p)
        return scores.add_(self.backoff)

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`cosine` of the caption with what the name and the posts mean; how many `posts`."""
        x, own = encoded["vectors"], encoded["own"]
        likeness = grid_product(grid_counts(x), self._polar()[0][hashtags])[0].tolist()
        own_tags = self.own_tags[:0]
        if int(own[0]) >= 0 and bool(x.any()):
            own_tags = self.own_tags[slice(*self.own_offsets[int(own[0]) :][:2].tolist())]
        uses = (self.uses[hashtags] - torch.isin(hashtags, own_tags).float()).tolist()
        return [
            {"cosine": cosine, "posts": int(posts)} if cosine > 0 else {}
            for cosine, posts in zip(likeness, uses, strict=True)
        ]

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        """New names are not read: a new hashtag means what its posts mean."""
        super().grow(users, hashtags)
        H = self.sizes.hashtags
        directions, lengths = self._polar()
        self.sums, self.uses = longer(self.sums, H), longer(self.uses, H)
        self._made = self.sums, longer(directions, H), longer(lengths, H)
        self.backoff = by_use(self.uses, 1e-6)

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        owner, made = hashtags.row_of_value, self._polar()
        there = posts.present[self.feature.name][owner].float()
        self.uses = self.uses.index_add(0, hashtags.values, there)
        # In place: they are by far the largest. Multiples of the grid add up exactly, in any order.
        self.sums.index_add_(0, hashtags.values, self._vectors(posts)[owner])
        tags = torch.unique(hashtags.values)
        for whole, some in zip(made, _polar(self.sums[tags]), strict=True):
            whole.index_copy_(0, tags, some)
        self.backoff = by_use(self.uses, 1e-6)
        own = Ragged(self.own_tags, self.own_offsets).joined(hashtags)
        self.own_tags, self.own_offsets = own.values, own.offsets

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 8 * self.sums.shape[1]


def _polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    return grid_counts(normalize(vectors, dim=1)), vectors.norm(dim=1)
