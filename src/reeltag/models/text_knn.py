"""Text kNN: the hashtags of the training posts whose captions are most alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError
from reeltag.models.comparing import Compare, Comparing, Voting
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.resemblance import Cosines
from reeltag.models.layers.top import top_k
from reeltag.models.layers.votes import Votes


class TextKnnConfig(ModelConfig):
    """Settings of `TextKnn`."""

    neighbours: int = Field(100, ge=1)
    """How many training posts vote."""
    power: float = Field(2.0, gt=0)
    """p: larger lets the most similar posts decide alone."""
    words: float = Field(0.2, ge=0, le=1)
    """Share of whole words in the likeness; the rest is that of their pieces."""


class TextNeighbours(Comparing, Explaining):
    """A model that asks the training posts with the most similar captions.

    r is the mean of two cosines of TF-IDF vectors, of the captions' words and of the pieces
    of those words (`reeltag.words.pieces`), so it works for any language and for words never
    seen. A training post is never its own neighbour. `encode_compared` gives "weights", which
    are r^p, and "positions" of the nearest, (B, n) each.

    Raises `MissingFeatureError` where the training captions hold no words.
    """

    Config = TextKnnConfig
    needs_words = True
    needs_pieces = True
    config: TextKnnConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        assert isinstance(config, TextKnnConfig)
        super().__init__(config, sizes, {"words": config.words, "pieces": 1 - config.words})
        if not sizes.words:
            raise MissingFeatureError(
                f"{self.name} reads captions, but no word is in two or more of the training "
                "captions. Models that read no captions: popularity, user-history, content-knn."
            )
        self.votes = Votes(sizes.hashtags)
        self.buffer("posts", torch.zeros((), dtype=torch.int64))

    def fit(self, training: TrainingSet) -> None:
        super().fit(training)
        if self.owns("votes"):
            self.votes.fit(training)
        self.posts = torch.tensor(len(training.posts))

    def encode_compared(self, posts: PostBatch, cosines: Cosines) -> Encoded:
        kind = self.config.neighbours, *self.shares.items()
        alike, positions = cosines.once(kind, lambda: self._nearest(posts, cosines))
        return {"weights": alike.clamp(min=0).pow(self.config.power), "positions": positions}

    def _nearest(self, posts: PostBatch, cosines: Cosines) -> tuple[Tensor, Tensor]:
        likeness = self.likeness(cosines)
        rows = (posts.own >= 0).nonzero().squeeze(1)
        likeness[rows, posts.own[rows]] = 0
        positions = top_k(likeness, self.config.neighbours)
        return likeness.gather(1, positions), positions

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 16 * int(self.posts)

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        if self.owns("votes"):
            self.votes.grow(self.sizes.hashtags)

    def observe_compared(self, posts: PostBatch, hashtags: Ragged, compare: Compare) -> None:
        if self.owns("votes"):
            self.votes.observe(hashtags)
        self.posts = self.posts + len(posts)


class TextKnn(TextNeighbours, Voting):
    """score(post, j) = Σ r(post, q)^p over the nearest training posts q that carry j.

    Popular hashtags order what no neighbour carries.
    """

    name = "text-knn"

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """As `carriers_of`, of the posts that vote."""
        cosines = encoded["weights"][0].pow(1 / self.config.power)
        return self.votes.carriers(cosines, encoded["positions"][0], hashtags)
