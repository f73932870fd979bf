"""Kernel ridge: caption, features and user of a post in, a linear answer for every hashtag out."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.contract import Encoded, Model, ModelConfig, Sizes
from reeltag.models.layers.resemblance import Resemblance
from reeltag.models.layers.steady import steady_product
from reeltag.runtime import generator_of

_BLOCK = 2048
_JITTER = 1e-5
_DOUBLE = 4096
"""Up to so many posts the exact solution is found in float64, above in float32."""


class RidgeConfig(ModelConfig):
    """Settings of `Ridge`."""

    regularisation: float = Field(1.0, gt=0)
    """λ, in units of the kernel."""
    exact: int = Field(16384, ge=0)
    """Up to so many training posts the solution is exact: n² numbers, time as n³."""
    landmarks: int = Field(4096, ge=1)
    """m: with more posts it is Nyström's, from m posts drawn at random, always the same ones."""
    like: float = Field(1.0, ge=0)
    """a: weight of the likeness of two posts."""
    user: float = Field(1.0, ge=0)
    """b: weight of having the same user."""
    both: float = Field(1.0, ge=0)
    """c: weight of the likeness of two posts of the same user."""
    words: float = Field(0.2, ge=0)
    """Weight of whole words in the likeness."""
    pieces: float = Field(0.4, gt=0)
    """Weight of the pieces of words."""
    content: float = Field(0.4, ge=0)
    """Weight of the features, where there are any."""


class Ridge(Model):
    """Kernel ridge regression (Saunders et al., ICML 1998) from posts to the 0/1 table Y.

        k(p, q) = 1 + a r(p, q) + [same user] (b + c r(p, q))
        score   = k(post, M) β,   β = argmin |Y - K_nM β|² + λ βᵀ K_MM β

    Y (n, H) says which posts carry which hashtags. r is `Resemblance` (words, pieces of words,
    content); sums and products of kernels are kernels. M are the landmarks: all n training
    posts where there are few enough, and then β is the exact (K + λI)⁻¹ Y, else m drawn at
    random (the subset of regressors, as in the Nyström approximation of Williams and Seeger,
    NIPS 2000). Cost: n³/3 or n m² once, |M| H a post.

    A training post that is asked about is left out exactly (landmarks and idf held), without
    fitting again: f₋ᵢ = (f_i - h_i y_i) / (1 - h_i), where h_i is its leverage, ∂f_i / ∂y_i.

    The constant carries popularity; a user never seen has only the terms without users.
    """

    name = "ridge"
    Config = RidgeConfig
    needs_words = True
    needs_pieces = True
    config: RidgeConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        c = self.config
        self.resemblance = Resemblance(sizes, c.words, c.pieces, c.content)
        whole = torch.int64
        self.buffer("users", torch.zeros(0, dtype=whole))
        self.buffer("weights", torch.zeros(0, sizes.hashtags))
        self.buffer("leverage", torch.zeros(0))
        self.buffer("own_offsets", torch.zeros(1, dtype=whole))
        self.buffer("own_tags", torch.zeros(0, dtype=whole))

    def fit(self, training: TrainingSet) -> None:
        count = len(training.posts)
        exact = count <= max(self.config.exact, self.config.landmarks)
        landmarks = torch.arange(count)
        if not exact:
            drawn = torch.randperm(count, generator=generator_of("ridge"))
            landmarks = drawn[: self.config.landmarks].sort().values
        self.resemblance.fit(training, landmarks)
        self.users = training.posts.users[landmarks]
        own = training.posts.hashtags
        self.own_offsets, self.own_tags = own.offsets.clone(), own.values.clone()
        blocks = torch.split(landmarks, _BLOCK)
        kernel = torch.cat([self._kernel(training, block) for block in blocks])
        solve = self._exact if exact else self._from_landmarks
        weights, leverage = solve(training, kernel)
        self.weights = weights.float()
        self.leverage = leverage.clamp(0, 0.999).float()

    def _exact(self, training: TrainingSet, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """(K + λI)⁻¹ Y, and h = diag(K (K + λI)⁻¹) = 1 - λ diag((K + λI)⁻¹)."""
        ridge = self.config.regularisation
        if len(kernel) <= _DOUBLE:
            kernel = kernel.double()
        kernel.diagonal().add_(ridge)
        factor = torch.linalg.cholesky(kernel)
        answers = training.posts.hashtags.dense(self.sizes.hashtags).to(kernel.dtype)
        weights = torch.cholesky_solve(answers, factor)
        squares = []
        for start in range(0, len(factor), _BLOCK):  # all of L⁻¹ would be n² numbers more
            rest = factor[start:, start:]
            columns = torch.eye(len(rest), min(_BLOCK, len(rest)), dtype=rest.dtype)
            solved = torch.linalg.solve_triangular(rest, columns, upper=False)
            squares.append(solved.square().sum(0))
        return weights, 1 - ridge * torch.cat(squares)

    def _from_landmarks(self, training: TrainingSet, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """The same with φ = k(·, M) L⁻ᵀ, L Lᵀ = K_MM: linear ridge regression on φ, in blocks."""
        # Landmarks alike in everything make K_MM singular.
        kernel = kernel.double()
        kernel.diagonal().add_(_JITTER * kernel.diagonal().mean())
        root = torch.linalg.cholesky(kernel)
        blocks = torch.split(torch.arange(len(training.posts)), _BLOCK)

        def mapped(block: Tensor) -> Tensor:
            rows = self._kernel(training, block).double().T
            phi: Tensor = torch.linalg.solve_triangular(root, rows, upper=False)
            return phi

        squares = self.config.regularisation * torch.eye(len(kernel), dtype=torch.float64)
        answers = kernel.new_zeros(len(kernel), self.sizes.hashtags)
        for block in blocks:
            phi = mapped(block)
            squares += phi @ phi.T
            tags = training.posts.hashtags.select(block)
            answers.T.index_add_(0, tags.values, phi.T[tags.row_of_value])
        factor = torch.linalg.cholesky(squares)
        leverage = [
            torch.linalg.solve_triangular(factor, mapped(block), upper=False).square().sum(0)
            for block in blocks
        ]
        solved = torch.cholesky_solve(answers, factor)
        return torch.linalg.solve_triangular(root.T, solved, upper=True), torch.cat(leverage)

    def _kernel(self, training: TrainingSet, index: Tensor) -> Tensor:
        return self.kernel(training.batch(index))

    def kernel(self, posts: PostBatch) -> Tensor:
        """k of B posts with the landmarks (B, m)."""
        c = self.config
        likeness: Tensor = self.resemblance(posts)
        same = (self.users == posts.users.unsqueeze(1)) & (self.users >= 0)
        return 1 + c.like * likeness + same * (c.user + c.both * likeness)

    def encode(self, posts: PostBatch) -> Encoded:
        return {"kernel": self.kernel(posts), "own": posts.own}

    def score_all(self, encoded: Encoded) -> Tensor:
        scores = steady_product(encoded["kernel"], self.weights)
        own = encoded["own"]
        rows = (own >= 0).nonzero().squeeze(1)
        if len(rows):
            leverage = self.leverage[own[rows]].unsqueeze(1)
            carried = Ragged(self.own_tags, self.own_offsets).select(own[rows])
            answers = carried.dense(scores.shape[1]).float()
            scores[rows] = (scores[rows] - leverage * answers) / (1 - leverage)
        return scores

    def bytes_per_post(self) -> int:
        return super().bytes_per_post() + 24 * len(self.users)
