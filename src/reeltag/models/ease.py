"""EASE: hashtags that go with the ones the user uses, by a linear item-item model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import NAMED, Explaining, Facts
from reeltag.models.layers.growing import by_use
from reeltag.models.layers.steady import sparse_product
from reeltag.models.layers.uses import UserUses
from reeltag.models.sharing import Sharing


class EaseConfig(ModelConfig):
    """Settings of `Ease`."""

    regularisation: float = Field(10.0, gt=0)
    """λ: how strongly weights are pulled to zero, in squared uses."""
    power: float = Field(0.5, gt=0, le=1)
    """A user's n uses of a hashtag count as n to this power: 1 counts, 0.5 damps."""
    most: int = Field(8192, ge=1)
    """Only so many of the most used hashtags take part: memory and time grow with their
    square and cube. The others keep the popular order."""


class Ease(Explaining, Sharing):
    """Embarrassingly shallow autoencoder (Steck, WWW 2019) over the users' hashtag counts.

        X = (uses of j by u)^p                                  users × hashtags
        P = (XᵀX + λI)⁻¹,  B = I - P diag(1 / P_jj)             Eq. 8: diag(B) = 0
        score(u, ·) = x_u B

    No hashtag speaks for itself, so what the user uses is recommended only as far as the
    user's other hashtags suggest it. A training post's own uses are taken off x_u when that
    post is asked about (B is of all training posts). A user never seen gets the popular
    hashtags; popularity also orders what nothing suggests.
    """

    name = "ease"
    lasting = ("between",)
    Config = EaseConfig
    needs_users = True
    config: EaseConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.uses = UserUses(sizes.users, sizes.hashtags)
        self.buffer("backoff", torch.zeros(sizes.hashtags))
        self.buffer("chosen", torch.zeros(0, dtype=torch.int64))
        self.buffer("between", torch.zeros(0, 0))

    def fit(self, training: TrainingSet) -> None:
        if self.owns("uses"):
            self.uses.fit(training)
        uses = self.uses.of_all()
        self.backoff = by_use(uses, 1e-6)
        ordered = torch.argsort(uses, descending=True, stable=True)
        self.chosen = ordered[: self.config.most].sort().values
        gram = self._gram()
        gram.diagonal().add_(self.config.regularisation)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        between = -inverse / inverse.diagonal()
        between.fill_diagonal_(0)
        self.between = between.float().contiguous()

    def _gram(self) -> Tensor:
        """XᵀX of the chosen hashtags, from a sparse X."""
        u = self.uses
        rows = sparse.csr_matrix(
            (u.uses.double().numpy() ** self.config.power, u.tags.numpy(), u.offsets.numpy()),
            shape=(u.users, u.hashtags),
        )[:, self.chosen.numpy()]
        return torch.from_numpy((rows.T @ rows).toarray())

    def encode(self, posts: PostBatch) -> Encoded:
        return {"users": posts.users, "own": posts.own}

    def score_all(self, encoded: Encoded) -> Tensor:
        counts = self.uses.listed(encoded["users"], encoded["own"])
        of_post, tags = counts.rows.row_of_value, counts.rows.values
        place = torch.searchsorted(self.chosen, tags).clamp(max=len(self.chosen) - 1)
        taken = (self.chosen[place] == tags) & (counts.values > 0)
        known = Ragged.from_pairs(of_post[taken], place[taken], len(counts.rows))
        values = counts.values[taken].pow(self.config.power)
        return sparse_product(known, values, self.between, self.chosen, self.backoff)

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 12 * len(self.chosen)

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """`hashtags` of the user that speak for it most, and what each adds (`weights`)."""
        known = self.uses(posts.users, posts.own)[0, self.chosen].pow(self.config.power)
        used = known.nonzero().squeeze(1)
        said: list[Facts] = []
        for tag in hashtags.tolist():
            column = (self.chosen == tag).nonzero().squeeze(1)
            added = (known[used].unsqueeze(1) * self.between[used][:, column]).sum(1)
            best = torch.argsort(added, descending=True, stable=True)[:NAMED]
            best = best[added[best] > 0]
            speak = {"hashtags": self.chosen[used[best]].tolist(), "weights": added[best].tolist()}
            said.append(speak if len(best) else {})
        return said

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        """New hashtags are not among the chosen ones: nothing suggests them."""
        super().grow(users, hashtags)
        if self.owns("uses"):
            self.uses.grow(self.sizes.users, self.sizes.hashtags)
        self.backoff = by_use(self.uses.of_all(), 1e-6)

    def observe(self, posts: PostBatch, hashtags: Ragged) -> None:
        """The users' hashtags are counted; what these suggest stays as it was solved."""
        if self.owns("uses"):
            self.uses.observe(posts.users, hashtags)
        self.backoff = by_use(self.uses.of_all(), 1e-6)
