"""Models that have something to say of few hashtags and leave the rest in order of their uses."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from reeltag.models.contract import Encoded, Model
from reeltag.models.layers.scores import Listed, Scores, Whole


class Listing(Model):
    """A model whose scores are `Listed`: what they cost is what the model has to say."""

    @abstractmethod
    def listed(self, encoded: Encoded) -> Listed:
        """Scores of the catalogue for B posts."""

    def score_all(self, encoded: Encoded) -> Tensor:
        return self.listed(encoded).whole()

    def score_pairs(self, encoded: Encoded, candidates: Tensor) -> Tensor:
        return self.listed(encoded).at(candidates)


def scores_of(model: Model, encoded: Encoded) -> Scores:
    """A model's scores in the form that costs least."""
    return model.listed(encoded) if isinstance(model, Listing) else Whole(model.score_all(encoded))
