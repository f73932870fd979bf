"""Related: what the user used and similar captions carry, and the relatives of these."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingExtraError, MissingFeatureError
from reeltag.models.comparing import Compare
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import NAMED, Facts
from reeltag.models.layers.naming import caption_feature, name_vectors
from reeltag.models.layers.postings import Postings
from reeltag.models.layers.relatedness import Likeness, Relatedness
from reeltag.models.layers.resemblance import Cosines
from reeltag.models.layers.scores import Listed, listed_sums
from reeltag.models.layers.uses import UserUses
from reeltag.models.text_knn import TextNeighbours
from reeltag.words import pieces


class Related(TextNeighbours):
    """score = first + spread(first),   first = share of the user's uses + share of the votes

    Votes are those of `text-knn`. `Relatedness` spreads them to hashtags that are used on the
    same posts and by the same users, and to those of few uses or none whose names are like
    the names of hashtags that are voted for. Names are compared by what they mean where a
    feature's extractor can read them (`caption_feature`), else by their pieces.

    Raises `MissingFeatureError` where the training captions hold no words.
    """

    name = "related"

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.uses = UserUses(sizes.users, sizes.hashtags)
        self.relatedness = Relatedness()

    def fit(self, training: TrainingSet) -> None:
        super().fit(training)
        if self.owns("uses"):
            self.uses.fit(training)
        self.relatedness.fit(training, self._likeness(training.hashtags.names))

    def _likeness(self, names: list[str]) -> Likeness:
        try:
            vectors = name_vectors(caption_feature(self.sizes.manifests), names)
        except (MissingFeatureError, MissingExtraError):
            spelt = Ragged.from_lists([pieces(name) for name in names])
            index = Postings()
            index.fit(spelt)
            return lambda block: index(spelt.select(block))
        return lambda block: vectors[block] @ vectors.T

    def encode_compared(self, posts: PostBatch, cosines: Cosines) -> Encoded:
        voting = super().encode_compared(posts, cosines)
        return {**voting, "users": posts.users, "own": posts.own}

    def _first(self, encoded: Encoded) -> Listed:
        users, zeros = encoded["users"], torch.zeros_like(self.votes.backoff)
        parts = [
            self.votes.counted(encoded["weights"], encoded["positions"]),
            self.uses.listed(users, encoded["own"]),
        ]
        posts = torch.arange(len(users), device=users.device)
        rows, values = listed_sums(
            Ragged.chained([part.rows for part in parts]),
            torch.cat([_shares(part) for part in parts]),
            len(users),
            posts.repeat_interleave(2),
            torch.stack([posts, posts + len(users)], 1).flatten(),
            zeros.new_ones(2 * len(users)),
            zeros,
        )
        return Listed(rows, values, zeros)

    def score_all(self, encoded: Encoded) -> Tensor:
        first = self._first(encoded)
        scores: Tensor = self.relatedness(first)
        flat = first.rows.row_of_value * scores.shape[1] + first.rows.values
        scores.view(-1).index_add_(0, flat, first.values)
        return scores.add_(self.votes.backoff)

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`hashtags` that it is most related to among the first ones, and what each adds."""
        first = self._first(encoded).whole()[0]
        said: list[Facts] = []
        for tag in hashtags.tolist():
            relatives, weights = self.relatedness.relatives(tag)
            added = first[relatives] * weights
            best = torch.argsort(added, descending=True, stable=True)[:NAMED]
            best = best[added[best] > 0]
            speak = {"hashtags": relatives[best].tolist(), "weights": added[best].tolist()}
            said.append(speak if len(best) else {})
        return said

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        """New hashtags have no relatives: the graph stays as it was fitted."""
        super().grow(users, hashtags)
        if self.owns("uses"):
            self.uses.grow(self.sizes.users, self.sizes.hashtags)
        self.relatedness.grow(self.sizes.hashtags)

    def observe_compared(self, posts: PostBatch, hashtags: Ragged, compare: Compare) -> None:
        super().observe_compared(posts, hashtags, compare)
        if self.owns("uses"):
            self.uses.observe(posts.users, hashtags)


def _shares(counts: Listed) -> Tensor:
    """Counts as shares of their post's sum, of one at least."""
    row = counts.rows.row_of_value
    total = counts.values.new_zeros(len(counts.rows)).index_add(0, row, counts.values)
    return counts.values / total.clamp(min=1)[row]
