"""Features of all training posts in, products with the model's matrices out, exact or delayed.

A graph model multiplies the features of every post that sends a message, V × width numbers,
by small matrices M (k × width). `FeatureProjection` does so in one of two ways:

    exact     rows(posts) = X[posts] Mᵀ, with gradients: right where features are narrow
    delayed   P = X Mᵀ is computed once for several training steps, all V posts at once.
              Every step reads rows of P and notes the gradient it sends back to them; when
              it is due the sum dP goes through the product at once: dM = dPᵀ X.

Delayed, M itself changes once in several steps (everything else in every step) from the
mean of their gradients, each exact for the P it saw. The cost of the wide product is then
shared by those steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reeltag.models.layers.stored import StoredFeatures
from reeltag.models.layers.wide_linear import blocks_as

_POSTS = 1 << 16
"""Posts whose features are copied out at once where no gradient is wanted."""


class FeatureProjection:
    """Products of features X (V, width), float16 or float32, with a matrix M (k, width)."""

    def __init__(self, features: Tensor | StoredFeatures) -> None:
        self.features = features
        self.products: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self._read: list[tuple[Tensor, int, Tensor]] = []
        self._steps = 0

    def exact(self, posts: Tensor | None, matrix: Tensor) -> Tensor:
        """X[posts] Mᵀ (n, k), or X Mᵀ, with gradients to M.

        Without gradients the product is made in blocks, so that many posts need no copy of
        their features; for half of the posts or more, that of all is made.
        """
        if not torch.is_grad_enabled():
            if posts is not None and 2 * len(posts) < len(self.features):
                return torch.cat(
                    [self.rows(some) @ matrix.T for some in torch.split(posts, _POSTS)]
                )
            product = self._all(matrix)
            return product if posts is None else product.index_select(0, posts)
        if posts is None:
            raise ValueError("Exact products of all posts have no gradients; use `delayed`.")
        return self.rows(posts) @ matrix.T

    def rows(self, posts: Tensor) -> Tensor:
        """X[posts] (n, width) as float32."""
        return self.features.index_select(0, posts).float()

    def delayed(self, posts: Tensor, number: int, matrices: Callable[[], list[Tensor]]) -> Tensor:
        """Rows (n, k) of the kept product with one of `matrices`, made if there is none.

        A post may be read many times.
        """
        if not self.products:
            with torch.no_grad():
                made = matrices()
                whole = self._all(torch.cat(made))
                # Tables of their own: rows that lie apart are slow to add to.
                self.products = [
                    part.contiguous() for part in torch.split(whole, [len(m) for m in made], 1)
                ]
            self.gradients = [torch.zeros_like(product) for product in self.products]
        rows = self.products[number].index_select(0, posts).requires_grad_()
        self._read.append((posts, number, rows))
        return rows

    def after_backward(self, due: bool, matrices: Callable[[], list[Tensor]]) -> None:
        """Note this step's gradients; if `due`, pass the mean of those noted on to the matrices."""
        for posts, number, rows in self._read:
            if rows.grad is not None:
                self.gradients[number].index_add_(0, posts, rows.grad)
        self._read.clear()
        self._steps += 1
        if self.products and due:
            torch.cat(matrices()).backward(self._transposed() / self._steps)  # type: ignore[no-untyped-call]
            self.forget()

    def forget(self) -> None:
        """Drop the kept products: the next reading computes them anew."""
        self.products, self.gradients, self._steps = [], [], 0
        self._read.clear()

    def _all(self, matrix: Tensor) -> Tensor:
        out = matrix.new_empty(len(self.features), len(matrix))
        for start, block in blocks_as(self.features, matrix.dtype):
            torch.mm(block, matrix.T, out=out[start : start + len(block)])
        return out

    def _transposed(self) -> Tensor:
        """Σ over posts of gradient times features: (rows of all matrices, width)."""
        rows = sum(gradient.shape[1] for gradient in self.gradients)
        total = self.gradients[0].new_zeros(rows, self.features.shape[1])
        for start, block in blocks_as(self.features, total.dtype):
            parts = [table[start : start + len(block)] for table in self.gradients]
            total.addmm_(torch.cat(parts, 1).T, block)
        return total
