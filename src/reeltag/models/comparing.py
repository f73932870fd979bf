"""What models that compare a post with the training posts have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.layers.resemblance import Cosines, Part, Resemblance
from reeltag.models.layers.scores import Listed
from reeltag.models.layers.votes import Votes
from reeltag.models.listing import Listing
from reeltag.models.sharing import Sharing

Of = Callable[[Tensor], Tensor]
Compare = Callable[[Tensor], Cosines]
"""Positions (m,) of training posts → cosines with these."""


def _all_of(cosines: Tensor) -> Tensor:
    return cosines


class ComparingConfig(ModelConfig):
    """Settings of those that weigh all three parts."""

    words: float = Field(0.3, ge=0)
    """Weight of whole words in the likeness."""
    pieces: float = Field(0.3, gt=0)
    """Weight of the pieces of words."""
    content: float = Field(0.4, ge=0)
    """Weight of the features, where there are any."""

    @property
    def parts(self) -> dict[Part, float]:
        """The weight of each part."""
        return {"words": self.words, "pieces": self.pieces, "content": self.content}


class Comparing(Sharing):
    """A model of r(p, q) = Σ_part w_part cos_part(p, q),  Σ_part w_part = 1

    over words, pieces of words and content (`Resemblance`). Each part is an inner product, so
    r is a kernel. A part the data does not have, or of weight 0, is left out, and the weights
    of the others are scaled to sum to 1.

    Several such models can share one comparison (`Sharing`): who borrows it is given the cosines
    (`encode_compared`) or asks for those it needs (`observe_compared`).
    """

    resemblance: Resemblance

    def __init__(self, config: ModelConfig, sizes: Sizes, weights: Mapping[Part, float]) -> None:
        super().__init__(config, sizes)
        has = {"words": bool(sizes.words), "pieces": True, "content": bool(sizes.manifests)}
        kept = {part: weight for part, weight in weights.items() if weight > 0 and has[part]}
        self.shares = {part: weight / sum(kept.values()) for part, weight in kept.items()}
        self.resemblance = Resemblance(sizes, self.shares.keys())

    def fit(self, training: TrainingSet) -> None:
        """Take in the training posts; what is borrowed has been fitted by its owner."""
        if self.owns("resemblance"):
            self.resemblance.fit(training)

    def encode(self, posts: PostBatch) -> Encoded:
        return self.encode_compared(posts, self.resemblance(posts))

    @abstractmethod
    def encode_compared(self, posts: PostBatch, cosines: Cosines) -> Encoded:
        """What scoring needs of posts whose cosines are known."""

    def likeness(self, cosines: Cosines, of: Of = _all_of) -> Tensor:
        """r of B posts with the n training posts (B, n), or with those that `of` takes of them."""
        parts = [weight * of(cosines[part]) for part, weight in self.shares.items()]
        total = parts[0]
        for part in parts[1:]:
            total += part  # made above: nobody else's
        return total

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        self.resemblance.observe(posts)
        self.observe_compared(posts, hashtags, partial(self.resemblance, posts))

    @abstractmethod
    def observe_compared(self, posts: PostBatch, hashtags: Ragged, compare: Compare) -> None:
        """Take in B posts, which `compare` compares with training posts, themselves among these."""


class Voting(Listing, Comparing):
    """One whose most similar posts vote for the hashtags they carry.

    `encode_compared` gives the votes' "weights" and the "positions" of the posts, (B, n) each.
    """

    votes: Votes

    def listed(self, encoded: Encoded) -> Listed:
        votes: Listed = self.votes(encoded["weights"], encoded["positions"])
        return votes

    def nearest(self, encoded: Encoded) -> Listed:
        """The best single vote for each hashtag, 0 where there is none."""
        return self.votes.nearest(encoded["weights"], encoded["positions"])
