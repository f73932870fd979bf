"""Tag meaning: hashtags whose name, and whose posts, mean what the caption means."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, Model, ModelConfig, Sizes
from reeltag.models.layers.naming import caption_feature, name_vectors
from reeltag.models.layers.steady import on_grid

_BLOCK = 8192


class TagMeaningConfig(ModelConfig):
    """Settings of `TagMeaning`."""

    prior: float = Field(3.0, gt=0)
    """m: the name counts as much as so many posts."""
    power: float = Field(0.75, ge=0, le=1)
    """p: 1 compares directions alone; smaller favours names over means of many posts, which
    are short. Unseen hashtags gain by that what often used ones lose."""


class TagMeaning(Model):
    """score(post, j) = x · t_j / |t_j|^p,   t_j = (m name_j + Σ_{q carries j} x_q) / (m + n_j)

    x is the post's caption and name_j the words of j's name, as vectors of one extractor (such
    as `minilm`), the mean caption and the mean name taken off, of length 1. n_j counts the
    training posts q: a hashtag never used is its name alone, an often used one the mean of its
    posts. Popular hashtags order the rest. A training post is taken off its own hashtags when
    it is asked about. Vectors lie on a grid (`on_grid`), so a score does not show how posts
    were batched.

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
        self.directions: Tensor
        self.uses: Tensor
        self.buffer("mean", torch.zeros(dim))
        self.buffer("directions", torch.zeros(sizes.hashtags, dim, dtype=torch.float16))
        self.buffer("lengths", torch.zeros(sizes.hashtags))
        self.buffer("uses", torch.zeros(sizes.hashtags))
        self.buffer("backoff", torch.zeros(sizes.hashtags))
        self.buffer("own_offsets", torch.zeros(1, dtype=torch.int64))
        self.buffer("own_tags", torch.zeros(0, dtype=torch.int64))

    def fit(self, training: TrainingSet) -> None:
        H, m = self.sizes.hashtags, self.config.prior
        name = self.feature.name
        blocks = torch.split(torch.arange(len(training.posts)), _BLOCK)
        total, there = torch.zeros(len(self.mean), dtype=torch.float64), 0
        for block in blocks:
            posts = training.batch(block)
            total += posts.vectors[name][posts.present[name]].sum(0, dtype=torch.float64)
            there += int(posts.present[name].sum())
        self.mean = (total / max(1, there)).float()
        table = m * name_vectors(self.feature, training.hashtags.names)
        self.uses = torch.zeros(H)
        for block in blocks:
            tags, posts = training.posts.hashtags.select(block), training.batch(block)
            owner = tags.row_of_value
            table.index_add_(0, tags.values, self._vectors(posts)[owner])
            self.uses.index_add_(0, tags.values, posts.present[name][owner].float())
        table /= (m + self.uses).unsqueeze(1)
        self.lengths = table.norm(dim=1)
        self.directions = on_grid(normalize(table, dim=1)).half()
        self.backoff = 1e-6 * self.uses / (1 + self.uses.max())
        own = training.posts.hashtags
        self.own_offsets, self.own_tags = own.offsets.clone(), own.values.clone()

    def _vectors(self, posts: PostBatch) -> Tensor:
        """x (B, dim), zeros for a post without a caption."""
        there = posts.present[self.feature.name].unsqueeze(1)
        values = torch.where(there, posts.vectors[self.feature.name] - self.mean, 0.0)
        return on_grid(normalize(values, dim=1))

    def encode(self, posts: PostBatch) -> Encoded:
        return {"vectors": self._vectors(posts), "own": posts.own}

    def score_all(self, encoded: Encoded) -> Tensor:
        x, p = encoded["vectors"], self.config.power
        scores: Tensor = x @ self.directions.float().T * self.lengths.pow(1 - p)
        rows = ((encoded["own"] >= 0) & x.any(1)).nonzero().squeeze(1)
        if len(rows):
            where, of = Ragged(self.own_tags, self.own_offsets).positions(encoded["own"][rows])
            tags, mine = self.own_tags[where], x[rows[of]]
            count = (self.config.prior + self.uses[tags]).unsqueeze(1)
            sums = self.directions[tags].float() * self.lengths[tags].unsqueeze(1) * count
            others = (sums - mine) / (count - 1).clamp(min=1e-6)
            scores[rows[of], tags] = (mine * others).sum(1) / others.norm(dim=1).clamp(
                min=1e-6
            ).pow(p)
        return self.backoff + scores

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 8 * self.directions.shape[1]
