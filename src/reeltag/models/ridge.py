"""Kernel ridge: caption, features and user of a post in, a linear answer for every hashtag out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.ragged import Ragged
from reeltag.models.comparing import Compare, Comparing, ComparingConfig
from reeltag.models.contract import Encoded, ModelConfig, Sizes
from reeltag.models.explaining import Explaining, Facts
from reeltag.models.layers.grid import GridProduct
from reeltag.models.layers.growing import Room
from reeltag.models.layers.resemblance import Cosines
from reeltag.models.layers.steady import SteadyProduct
from reeltag.models.layers.votes import carriers_of
from reeltag.runtime import generator_of

_BLOCK = 2048
_JITTER = 1e-5
_SOFT = 1e-3
"""The same for the anchors, whose matrix is kept in float32."""
_MOST_ANCHORS = 1024
"""Observed posts become anchors while there are fewer."""
_ROUNDS = 6
"""Of subspace iteration."""
Gram = Callable[[Tensor], Tensor]
"""FᵀF v of the fitted answers F (n, H), for columns v (H, r)."""
Solution = tuple[Tensor, Tensor, Gram]
_NEAREST = 30
"""Landmarks of which it is said how many carry a hashtag."""
_DOUBLE = 4096
"""Up to so many posts the exact solution is found in float64, above in float32."""
_WIDE = 4096
"""Hashtags above which the last product is the rounded, faster one."""
_KEPT = 1 << 26
"""Numbers of φ that are kept rather than made twice."""


class RidgeConfig(ComparingConfig):
    """Settings of `Ridge`."""

    regularisation: float = Field(1.0, gt=0)
    """λ, in units of the kernel."""
    exact: int = Field(4096, ge=0)
    """Up to so many training posts the solution is exact: n² numbers, time as n³."""
    landmarks: int = Field(2048, ge=1)
    """m: with more posts it is Nyström's, from m posts drawn at random, always the same ones."""
    anchors: int = Field(256, ge=1)
    """|Z|: landmarks that tell how much of an observed post was known before."""
    rank: int = Field(256, ge=1)
    """r: answers are kept along so many directions where there are over twice as many hashtags."""
    like: float = Field(1.0, ge=0)
    """a: weight of the likeness of two posts."""
    user: float = Field(1.0, ge=0)
    """b: weight of having the same user."""
    both: float = Field(1.0, ge=0)
    """c: weight of the likeness of two posts of the same user."""
    words: float = Field(0.2, ge=0)
    pieces: float = Field(0.4, gt=0)


class Ridge(Comparing, Explaining):
    """Kernel ridge regression (Saunders et al., ICML 1998) from posts to the 0/1 table Y.

        k(p, q) = 1 + a r(p, q) + [same user] (b + c r(p, q))
        score   = k(post, M) β,   β = argmin |Y - K_nM β|² + λ βᵀ K_MM β

    Y (n, H) says which posts carry which hashtags. r is `Resemblance` (words, pieces of words,
    content); sums and products of kernels are kernels. M are the landmarks: all n training
    posts where there are few enough, and then β is the exact (K + λI)⁻¹ Y, else m drawn at
    random (the subset of regressors, as in the Nyström approximation of Williams and Seeger,
    NIPS 2000). Cost: n³/3 or n m² once, |M| H a post.

    Of many hashtags the answers are kept along the r directions V in which the fitted answers
    F differ most (FᵀF's eigenvectors, by subspace iteration): score Vᵀ V, reduced rank ridge
    regression (Mukherjee and Zhu, 2011). A post then costs |M| r + r H. Above 4,096 hashtags the
    latter product is rounded and faster (`GridProduct`).

    A training post that is asked about is left out exactly (landmarks and idf held), without
    fitting again: f₋ᵢ = (f_i - h_i y_i) / (1 - h_i), where h_i is its leverage, ∂f_i / ∂y_i.

    An observed post p changes the answers as in recursive least squares (a Gaussian process that
    is shown y_p):

        f(x) ← f(x) + c(x, p) (y_p - f(p)) / (c(p, p) + λ)
        c(x, p) = k(x, p) + k(x, Z) G k(Z, p),   G = λ (K_Zn K_nZ + λ K_ZZ)⁻¹ - K_ZZ⁻¹

    where c, what the posts so far leave open of k, is worked out by some landmarks Z (the fully
    independent conditional of Snelson and Ghahramani, NIPS 2005). So p becomes a landmark, the
    weights of Z give way to it, and its leverage is c(p, p) / (c(p, p) + λ). It joins Z too, so
    that c is that of the posts up to p, until Z has 1,024 posts. With all landmarks in Z this
    is the exact solution for all posts. A new hashtag is a direction of its own.

    The constant carries popularity; a user never seen has only the terms without users.
    """

    name = "ridge"
    Config = RidgeConfig
    needs_words = True
    needs_pieces = True
    config: RidgeConfig

    def __init__(self, config: ModelConfig, sizes: Sizes) -> None:
        assert isinstance(config, RidgeConfig)
        super().__init__(config, sizes, config.parts)
        self._by_weights, self._by_directions = SteadyProduct(), SteadyProduct()
        self._by_wide_directions = GridProduct()
        self.buffer("landmarks", torch.zeros(0, dtype=torch.int64))
        self.buffer("users", torch.zeros(0, dtype=torch.int64))
        self.buffer("weights", torch.zeros(0, 0))
        self.buffer("directions", torch.zeros(0, sizes.hashtags))
        self.buffer("leverage", torch.zeros(0))
        self.buffer("own_offsets", torch.zeros(1, dtype=torch.int64))
        self.buffer("own_tags", torch.zeros(0, dtype=torch.int64))
        self.buffer("anchors", torch.zeros(0, dtype=torch.int64))
        self.buffer("known", torch.zeros(0, 0))
        self._room = Room()

    def fit(self, training: TrainingSet) -> None:
        super().fit(training)
        count = len(training.posts)
        exact = count <= max(self.config.exact, self.config.landmarks)
        self.landmarks = torch.arange(count)
        if not exact:
            drawn = torch.randperm(count, generator=generator_of("ridge"))
            self.landmarks = drawn[: self.config.landmarks].sort().values
        self.users = training.posts.users[self.landmarks]
        own = training.posts.hashtags
        self.own_offsets, self.own_tags = own.offsets.clone(), own.values.clone()
        blocks = torch.split(self.landmarks, _BLOCK)
        kernel = torch.cat([self._kernel(training, block) for block in blocks])
        self._anchor(kernel, count)
        solve = self._exact if exact else self._from_landmarks
        weights, leverage, gram = solve(training, kernel)
        directions = self._directions(gram)
        self.weights = (weights.double() @ directions.T).float()
        self.directions = directions.float()
        self.leverage = leverage.clamp(0, 0.999).float()

    def _directions(self, gram: Gram) -> Tensor:
        """V (r, H): the directions in which the fitted answers differ most."""
        H, rank = self.sizes.hashtags, self.config.rank
        if 2 * rank >= H:
            return torch.eye(H, dtype=torch.float64)
        start = torch.randn(H, rank, generator=generator_of("ridge directions")).double()
        for _ in range(_ROUNDS):
            start = torch.linalg.qr(gram(start)).Q
        return start.T.contiguous()

    def _anchor(self, kernel: Tensor, posts: int) -> None:
        """Z and G (|Z|, |Z|), the sum over posts from the landmarks, which are a sample of them."""
        drawn = torch.randperm(len(kernel), generator=generator_of("ridge anchors"))
        self.anchors = drawn[: self.config.anchors].sort().values
        across = kernel[:, self.anchors].double()
        among = across[self.anchors]
        among.diagonal().add_(_SOFT * among.diagonal().mean())
        seen = posts / len(kernel) * across.T @ across
        ridge = self.config.regularisation
        self.known = (ridge * _inverse(seen + ridge * among) - _inverse(among)).float()

    def _exact(self, training: TrainingSet, kernel: Tensor) -> Solution:
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
        fitted = answers - ridge * weights

        def gram(of: Tensor) -> Tensor:
            product: Tensor = fitted.T @ (fitted @ of.to(fitted.dtype))
            return product.double()

        return weights, 1 - ridge * torch.cat(squares), gram

    def _from_landmarks(self, training: TrainingSet, kernel: Tensor) -> Solution:
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

        count = len(training.posts)
        kept = [mapped(block) for block in blocks] if count * len(root) <= _KEPT else None
        squares = kernel.new_zeros(kernel.shape)
        answers = kernel.new_zeros(len(kernel), self.sizes.hashtags)
        for place, block in enumerate(blocks):
            phi = kept[place] if kept else mapped(block)
            squares += phi @ phi.T
            tags = training.posts.hashtags.select(block)
            answers.T.index_add_(0, tags.values, phi.T[tags.row_of_value])
        ridged = squares + self.config.regularisation * torch.eye(len(kernel), dtype=kernel.dtype)
        factor = torch.linalg.cholesky(ridged)
        leverage = [
            torch.linalg.solve_triangular(factor, phi, upper=False).square().sum(0)
            for phi in kept or map(mapped, blocks)
        ]
        solved = torch.cholesky_solve(answers, factor)

        def gram(of: Tensor) -> Tensor:
            product: Tensor = solved.T @ (squares @ (solved @ of))
            return product

        weights = torch.linalg.solve_triangular(root.T, solved, upper=True)
        return weights, torch.cat(leverage), gram

    def _kernel(self, training: TrainingSet, index: Tensor) -> Tensor:
        posts = training.batch(index)
        return self.kernel(posts, self.likeness(self.resemblance(posts, self.landmarks)))

    def kernel(self, posts: PostBatch, likeness: Tensor) -> Tensor:
        """k of B posts with the landmarks (B, m), from r of them."""
        c = self.config
        same = (self.users == posts.users.unsqueeze(1)) & (self.users >= 0)
        return 1 + c.like * likeness + same * (c.user + c.both * likeness)

    def _likeness(self, cosines: Cosines) -> Tensor:
        """r of B posts with the landmarks (B, m)."""
        if len(self.landmarks) == next(iter(cosines.values())).shape[1]:
            return self.likeness(cosines)
        return self.likeness(cosines, lambda part: part[:, self.landmarks])

    def encode_compared(self, posts: PostBatch, cosines: Cosines) -> Encoded:
        """Answers along the directions (B, r), those of a training post without itself."""
        answers = self._by_weights(self.kernel(posts, self._likeness(cosines)), self.weights)
        own = posts.own
        rows = (own >= 0).nonzero().squeeze(1)
        if len(rows):
            leverage = self.leverage[own[rows]].unsqueeze(1)
            tags, of = Ragged(self.own_tags, self.own_offsets).positions(own[rows])
            right = torch.zeros_like(answers[rows])
            right.index_add_(0, of, self.directions.T[self.own_tags[tags]])
            answers[rows] = (answers[rows] - leverage * right) / (1 - leverage)
        return {"answers": answers}

    def score_all(self, encoded: Encoded) -> Tensor:
        wide = self.directions.shape[1] > _WIDE
        product = self._by_wide_directions if wide else self._by_directions
        return product(encoded["answers"], self.directions)

    def bytes_per_post(self) -> int:
        wide = len(self.leverage) + 2 * self.sizes.hashtags
        return super().bytes_per_post() + 24 * wide

    def facts(self, posts: PostBatch, encoded: Encoded, hashtags: Tensor) -> list[Facts]:
        """The score as what the user's `own` posts, those `alike` and `all` posts add to it.

        These are the kernel's [same user] (b + c r), a r and 1, by the solution as it is: of a
        training post its own part is left out, but not its effect on the others. And as
        `carriers_of`, of the 30 landmarks most alike.
        """
        c, likeness = self.config, self.likeness(self.resemblance(posts, self.landmarks))[0]
        weights = self.weights @ self.directions[:, hashtags]
        itself = self.landmarks == posts.own
        weights[itself] = 0
        same = (self.users == posts.users) & (self.users >= 0)
        terms = {
            "own": (same * (c.user + c.both * likeness)) @ weights,
            "alike": (c.like * likeness) @ weights,
            "all": weights.sum(0),
        }
        sums = {name: term.tolist() for name, term in terms.items()}
        near = torch.topk(likeness.masked_fill(itself, 0), min(_NEAREST, len(likeness)))
        carried = Ragged(self.own_tags, self.own_offsets)
        said = carriers_of(carried, near.values, self.landmarks[near.indices], hashtags)
        return [
            {**{name: term[place] for name, term in sums.items()}, **about}
            for place, about in enumerate(said)
        ]

    def grow(self, users: int = 0, hashtags: Sequence[str] = ()) -> None:
        super().grow(users, hashtags)
        count = len(hashtags)
        if count:
            self.directions = pad(self.directions, (0, count, 0, count))
            self.directions[-count:, -count:].fill_diagonal_(1)
            self.weights = pad(self.weights, (0, count))

    def observe_compared(self, posts: PostBatch, hashtags: Ragged, compare: Compare) -> None:
        """The posts together, which is one after the other while they become anchors."""
        device, ridge = posts.users.device, self.config.regularisation
        count, landmarks = torch.arange(len(posts), device=device), len(self.weights)
        self.landmarks = torch.cat([self.landmarks, len(self.leverage) + count])
        self.users = torch.cat([self.users, posts.users])
        kernel = self.kernel(posts, self.likeness(compare(self.landmarks)))
        before, among = kernel[:, :landmarks], kernel[:, landmarks:]
        of_anchors = before[:, self.anchors]
        moved = of_anchors @ self.known
        covariance = (among + moved @ of_anchors.T).double()
        covariance.diagonal().add_(ridge)
        factor = torch.linalg.cholesky(covariance)
        right = torch.zeros(len(posts), len(self.directions), device=device)
        right.index_add_(0, hashtags.row_of_value, self.directions.T[hashtags.values])
        left = (right - before @ self.weights).double()
        weights = torch.cholesky_solve(left, factor).float()
        self.weights = self._room.with_rows(self.weights, weights)
        self.weights.index_add_(0, self.anchors, moved.T @ weights)
        if len(self.anchors) + len(posts) <= _MOST_ANCHORS:
            inverse = torch.cholesky_inverse(factor).float()
            below = -inverse @ moved
            above = torch.cat([self.known + moved.T @ below, below.T], 1)
            self.known = torch.cat([above, torch.cat([below, -inverse], 1)])
            self.anchors = torch.cat([self.anchors, landmarks + count])
        leverage = 1 - ridge / factor.diagonal().square()
        self.leverage = torch.cat([self.leverage, leverage.clamp(0, 0.999).float()])
        own = Ragged(self.own_tags, self.own_offsets).joined(hashtags)
        self.own_tags, self.own_offsets = own.values, own.offsets


def _inverse(matrix: Tensor) -> Tensor:
    return torch.cholesky_inverse(torch.linalg.cholesky(matrix))
