"""User history, similar posts and caption words in, one ranking out, weighted on validation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.bll import Bll
from reeltag.models.caption_words import CaptionWords
from reeltag.models.content_knn import ContentKnn
from reeltag.models.contract import Encoded, Judge, Model, ModelConfig, Sizes, Validated
from reeltag.models.user_history import UserHistory

_GRID_BYTES = 128 << 20


class BlendConfig(ModelConfig):
    """Settings of `Blend`."""

    history: Literal["user-history", "bll"] = "bll"
    """What speaks for the user: uses counted alike, or those near in time counted more."""
    decay: float = Field(0.5, ge=0, le=5)
    """Of bll."""
    neighbours: int = Field(50, ge=1)
    """Of content-knn."""
    smoothing: float = Field(3.0, gt=0)
    """Of caption-words."""
    scale: Literal["max", "sum"] = "sum"
    """What each part's scores of a post are divided by, to make the parts comparable."""
    steps: int = Field(10, ge=1, le=50)
    """Weights tried are the multiples of 1/steps that sum to 1."""
    select: Literal["recall@10", "ndcg@10"] = "recall@10"
    """Validation metric (full ranking) that chooses the weights."""


class Blend(Validated):
    """score = Σ_parts w_part · score_part / Σ_j score_part,  w on the simplex.

    Parts are the user's history (`Bll`, or `UserHistory`), content kNN and caption words, each
    with its popular back-off inside. Every w of a grid is judged on the validation posts in
    one pass and the first best is kept (of equals, the one with more weight on the earlier
    parts), so no gradient and no seed is involved. Parts look at training posts alone.

    A part with nothing to say about a post is silent there (all zeros): history for a user
    never seen, kNN for a post without features, words for a caption without known words. A
    part that the data does not have at all (no users, no features, no words) is not built
    and its weight is 0. Where every part is silent the popular hashtags remain. Without
    validation posts the parts count alike.
    """

    name = "blend"
    Config = BlendConfig
    needs_words = True
    config: BlendConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        c = self.config
        self.parts = torch.nn.ModuleDict()
        if sizes.users:
            self.parts["history"] = (
                Bll(Bll.Config(decay=c.decay), sizes)
                if c.history == "bll"
                else UserHistory(UserHistory.Config(), sizes)
            )
        if sizes.manifests:
            self.parts["similar"] = ContentKnn(ContentKnn.Config(neighbours=c.neighbours), sizes)
        if sizes.words:
            self.parts["words"] = CaptionWords(CaptionWords.Config(smoothing=c.smoothing), sizes)
        self.buffer("weights", torch.full((len(self.parts),), 1 / max(1, len(self.parts))))
        self.buffer("popular", torch.zeros(sizes.hashtags))

    def fit(self, training: TrainingSet) -> None:
        for _, part in self._parts():
            part.fit(training)
            part.unshare()
        uses = torch.bincount(training.triples[1], minlength=self.sizes.hashtags).double()
        self.popular = (1e-6 * uses / uses.sum()).float()

    def _parts(self) -> list[tuple[str, Model]]:
        return [(name, part) for name, part in self.parts.items() if isinstance(part, Model)]

    def encode(self, posts: PostBatch) -> Encoded:
        speaks = {
            "history": posts.users >= 0,
            "similar": torch.stack([posts.users < -1, *posts.present.values()]).any(0),
            "words": posts.words.lengths > 0,
        }
        encoded = {f"{name}.speaks": speaks[name] for name, _ in self._parts()}
        for name, part in self._parts():
            encoded |= {f"{name}.{key}": value for key, value in part.encode(posts).items()}
        return {"users": posts.users, **encoded}

    def part_scores(self, encoded: Encoded) -> Tensor:
        """Comparable scores of each part (parts, B, H), zeros where it is silent."""
        rows = []
        for name, part in self._parts():
            own = {k.removeprefix(f"{name}."): v for k, v in encoded.items() if f"{name}." in k}
            scores = part.score_all(own)
            whole = scores.sum(1) if self.config.scale == "sum" else scores.amax(1)
            scores = scores / whole.clamp(min=1e-12).unsqueeze(1)
            rows.append(scores * own["speaks"].unsqueeze(1))
        return torch.stack(rows) if rows else self.popular.new_zeros(0, 1, self.sizes.hashtags)

    def score_all(self, encoded: Encoded) -> Tensor:
        mixed = torch.einsum("p,pbh->bh", self.weights, self.part_scores(encoded))
        return mixed + self.popular.expand(len(encoded["users"]), -1)

    @torch.no_grad()
    def choose(self, posts: Iterable[tuple[PostBatch, Ragged]], judge: Judge) -> None:
        """Keep the weights that rank the hashtags of validation posts best."""
        if len(self.parts) < 2:
            return
        grid = simplex(len(self.parts), self.config.steps).to(self.device)
        total = torch.zeros(len(grid), dtype=torch.float64, device=self.device)
        seen = 0
        for batch, positives in posts:
            scores = self.part_scores(self.encode(batch))
            step = max(1, _GRID_BYTES // max(1, 12 * scores[0].numel()))
            total += torch.cat(
                [self._judge(grid[n : n + step], scores, positives, judge)
                 for n in range(0, len(grid), step)]
            )  # fmt: skip
            seen += len(batch)
        if seen:
            self.weights = grid[total.argmax()]

    def _judge(self, grid: Tensor, scores: Tensor, positives: Ragged, judge: Judge) -> Tensor:
        """Sum over the posts of the metric, for each row of `grid` (g, parts): (g,)."""
        g, B = len(grid), scores.shape[1]
        mixed = torch.einsum("gp,pbh->gbh", grid, scores) + self.popular
        wanted = positives.select(torch.arange(B, device=grid.device).repeat(g))
        return judge(mixed.view(g * B, -1), wanted, self.config.select).view(g, B).sum(1)

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + sum(p.bytes_per_post() for _, p in self._parts())


def simplex(parts: int, steps: int) -> Tensor:
    """Every vector of `parts` multiples of 1/steps that sum to 1, larger first entries first."""
    counts = torch.cartesian_prod(*[torch.arange(steps, -1, -1)] * max(1, parts)).view(
        -1, max(1, parts)
    )
    return counts[counts.sum(1) == steps].float() / steps
