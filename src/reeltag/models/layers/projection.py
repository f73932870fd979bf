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

_BLOCK = 4096


class FeatureProjection:
    """Products of features X (V, width), float16 or float32, with a matrix M (k, width)."""

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self.products = features.new_zeros(0)
        self.gradient = features.new_zeros(0)
        self._kept = False
        self._read: list[tuple[Tensor | None, Tensor]] = []
        self._steps = 0

    def exact(self, posts: Tensor | None, matrix: Tensor) -> Tensor:
        """X[posts] Mᵀ (n, k), or X Mᵀ, with gradients to M.

        Without gradients the product is made in blocks, so that many posts need no copy of
        their features.
        """
        if not torch.is_grad_enabled():
            product = self._all(matrix)
            return product if posts is None else product.index_select(0, posts)
        rows = self.features.float() if posts is None else self.rows(posts)
        return rows @ matrix.T

    def rows(self, posts: Tensor) -> Tensor:
        """X[posts] (n, width) as float32."""
        return self.features.index_select(0, posts).float()

    def delayed(self, posts: Tensor | None, matrix: Callable[[], Tensor]) -> Tensor:
        """Rows (n, k) of the kept product, or all; computed from `matrix()` if there is none."""
        if not self._kept:
            with torch.no_grad():
                self.products = self._all(matrix())
            self.gradient = torch.zeros_like(self.products)
            self._kept = True
        rows = self.products if posts is None else self.products.index_select(0, posts)
        rows = rows.detach().requires_grad_()
        self._read.append((posts, rows))
        return rows

    def after_backward(self, due: bool, matrix: Callable[[], Tensor]) -> None:
        """Note this step's gradients; if `due`, pass the mean of those noted on to M."""
        for posts, rows in self._read:
            if rows.grad is None:
                continue
            if posts is None:
                self.gradient += rows.grad
            else:
                self.gradient.index_add_(0, posts, rows.grad)
        self._read.clear()
        self._steps += 1
        if self._kept and due:
            matrix().backward(self._transposed() / self._steps)  # type: ignore[no-untyped-call]
            self.forget()

    def forget(self) -> None:
        """Drop the kept product: the next reading computes it anew."""
        self._kept, self._steps = False, 0
        self._read.clear()

    def _all(self, matrix: Tensor) -> Tensor:
        out = matrix.new_empty(len(self.features), len(matrix))
        for start in range(0, len(self.features), _BLOCK):
            block = self.features[start : start + _BLOCK].to(matrix.dtype)
            torch.mm(block, matrix.T, out=out[start : start + _BLOCK])
        return out

    def _transposed(self) -> Tensor:
        total = self.gradient.new_zeros(self.gradient.shape[1], self.features.shape[1])
        for start in range(0, len(self.features), _BLOCK):
            block = self.features[start : start + _BLOCK].to(total.dtype)
            total.addmm_(self.gradient[start : start + _BLOCK].T, block)
        return total
