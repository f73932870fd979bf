"""Encoded posts and hashtags in, LOGO's logits out: in blocks of pairs, without a gradient.

Columns are pairs: a block is (posts, width, hashtags), so that every layer is W @ columns and
attention weights (steps, hashtags) enter as they are made. What a block needs between its
layers is allocated once a call and stays near the cache.

Spared exactly: a modality of one step answers every hashtag alike, so its vector x is worked
out once a post and Σ_m W_1^m (x^m ⊙ y) = (Σ_m W_1^m diag(x^m)) y; one that no post of the block
has is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reeltag.models.layers.interaction import Interaction
from reeltag.models.layers.view import View

ROWS = 1024
"""Pairs of a post and a hashtag that are scored at once."""

Kept = Mapping[str, dict[str, Tensor]]
"""What `View.encode` gave of posts, by modality."""


def kept_of(encoded: Mapping[str, Tensor]) -> Kept:
    """From tensors by `<modality>.<what>`."""
    kept: dict[str, dict[str, Tensor]] = {}
    for key, tensor in encoded.items():
        modality, _, what = key.partition(".")
        kept.setdefault(modality, {})[what] = tensor
    return kept


@dataclass(frozen=True)
class Asking:
    """n hashtags for each of G posts, or for all alike (G = 1).

    vectors (G, dim, n); queries by modality (G, n, A), what its attention is asked.
    """

    vectors: Tensor
    queries: Mapping[str, Tensor]

    @classmethod
    def of(cls, hashtags: Tensor, views: Mapping[str, View]) -> Asking:
        """From vectors (n, dim)."""
        queries = {
            name: view.attention.queries(hashtags).unsqueeze(0)
            for name, view in views.items()
            if view.attention is not None
        }
        return cls(hashtags.T.contiguous().unsqueeze(0), queries)

    def some(self, index: Tensor) -> Asking:
        """The hashtags `index` (n,), of those for all posts alike."""
        return Asking(
            self.vectors.index_select(2, index),
            {name: each.index_select(1, index) for name, each in self.queries.items()},
        )

    def own(self, candidates: Tensor) -> Asking:
        """Each post's `candidates` (G, n), of those for all posts alike."""
        posts, each = candidates.shape
        flat = self.some(candidates.flatten())
        return Asking(
            flat.vectors.view(-1, posts, each).transpose(0, 1),
            {name: asked.view(posts, each, -1) for name, asked in flat.queries.items()},
        )


class Remembered:
    """All hashtags as they ask, worked out anew when a parameter has changed in its place."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Parameters have changed, or may do so without a trace."""
        self.state: list[tuple[int, int]] = []
        self.asking: Asking | None = None

    def of(self, hashtags: Tensor, views: Mapping[str, View]) -> Asking:
        """As `Asking.of`."""
        read = [hashtags]
        read += [v.attention.queries.weight for v in views.values() if v.attention is not None]
        state = [(tensor.data_ptr(), tensor._version) for tensor in read]
        if self.asking is None or self.state != state:
            self.state, self.asking = state, Asking.of(hashtags, views)
        return self.asking


@dataclass(frozen=True)
class _Posts:
    """A few posts as their blocks need them."""

    has: Tensor
    """(b, M)"""
    whole: list[bool]
    """Whether every one of them has the modality."""
    asked: list[tuple[int, str, Tensor, Tensor]]
    """Place and name of a modality, its steps (b, w, T) and the weights on them (b, T, n)."""
    fixed: bool
    """Whether there are vectors that are the same for every hashtag."""
    weight: Tensor
    """Of the NCF's first layer (b, width, K), the fixed vectors multiplied in."""


class Catalogue:
    """Logits of posts for hashtags, from the layers of a model (without dropout)."""

    def __init__(self, views: Mapping[str, View], interaction: Interaction) -> None:
        self.views, self.interaction = dict(views), interaction

    def all(self, kept: Kept, there: Tensor, asking: Asking) -> Tensor:
        """Logits (B, n) for the same hashtags on every post; there (B, M)."""
        return self._scores(kept, there, asking, None)

    def pairs(self, kept: Kept, there: Tensor, asking: Asking, candidates: Tensor) -> Tensor:
        """Logits (B, C) for each post's own `candidates` (B, C) of `asking`."""
        return self._scores(kept, there, asking, candidates)

    def _scores(
        self, kept: Kept, there: Tensor, asking: Asking, candidates: Tensor | None
    ) -> Tensor:
        n = asking.vectors.shape[2] if candidates is None else candidates.shape[1]
        scores = asking.vectors.new_empty(len(there), n)
        if not scores.numel():
            return scores
        wide = math.ceil(n / math.ceil(n / ROWS))  # blocks of one size
        high = max(1, ROWS // wide)
        buffers = _Buffers(scores)
        for top in range(0, len(there), high):
            rows = slice(top, top + high)
            mine = asking if candidates is None else asking.own(candidates[rows])
            own = {name: {k: x[rows] for k, x in each.items()} for name, each in kept.items()}
            posts = self._posts(own, there[rows], mine)
            for left in range(0, n, wide):
                columns = slice(left, left + wide)
                vectors = mine.vectors[:, :, columns]
                scores[rows, columns] = self._block(posts, vectors, columns, buffers)
        return scores

    def _posts(self, kept: Kept, there: Tensor, asking: Asking) -> _Posts:
        weight, _ = self.interaction.first()
        some, whole = there.any(0).tolist(), there.all(0).tolist()
        asked: list[tuple[int, str, Tensor, Tensor]] = []
        fixed: list[tuple[int, Tensor]] = []
        for at, (name, view) in enumerate(self.views.items()):
            own = kept[name]
            if not some[at]:
                continue
            if view.attention is None:
                fixed.append((at, own["vector"]))
            elif own["step"].shape[1] == 1:
                fixed.append((at, view.tower.rest(own["step"][:, 0].clone())))
            else:
                weights = view.attention.catalogue(own["key"], asking.queries[name], own["mask"])
                asked.append((at, name, own["step"].transpose(1, 2), weights))
        parts = [weight[:, at].expand(len(there), -1, -1) for at, *_ in asked]
        if fixed:
            parts.append(
                torch.stack(
                    [
                        weight[:, at] * (vector * there[:, at, None]).unsqueeze(1)
                        for at, vector in fixed
                    ]
                ).sum(0)
            )
        none = weight.new_empty(len(there), len(weight), 0)
        return _Posts(there, whole, asked, bool(fixed), torch.cat(parts, 2) if parts else none)

    def _block(self, posts: _Posts, vectors: Tensor, columns: slice, buffers: _Buffers) -> Tensor:
        """Logits (b, h) for hashtags of `vectors` (G, dim, h), which are the `columns`."""
        b, (dim, h) = len(posts.has), vectors.shape[1:]
        products = buffers("products", b, posts.weight.shape[2], h)
        for place, (at, name, step, weights) in enumerate(posts.asked):
            tower = self.views[name].tower
            mixed = buffers("mixed", b, tower.first.out_features, h)
            torch.bmm(step, weights[:, :, columns], out=mixed)
            middle = buffers("middle", b, tower.second.out_features, h)
            _linear(tower.second, mixed.relu_(), middle)
            part = products[:, place * dim : (place + 1) * dim]
            _linear(tower.third, middle.relu_(), part)
            part *= vectors
            if not posts.whole[at]:
                part *= posts.has[:, at, None, None]
        if posts.fixed:
            products[:, -dim:] = vectors
        first, *others = self.interaction.layers
        assert isinstance(first, nn.Linear)
        hidden = buffers("hidden0", b, first.out_features, h)
        torch.baddbmm(first.bias[:, None], posts.weight, products, out=hidden)
        for depth, layer in enumerate(others, start=1):
            assert isinstance(layer, nn.Linear)
            above = buffers(f"hidden{depth}", b, layer.out_features, h)
            hidden = _linear(layer, hidden.relu_(), above)
        return torch.matmul(self.interaction.weight, hidden.relu_())


class _Buffers:
    """Memory by name, used again by the next block; like a tensor in kind and device."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.memory: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        size = math.prod(shape)
        if name not in self.memory or len(self.memory[name]) < size:
            self.memory[name] = self.like.new_empty(size)
        return self.memory[name][:size].view(shape)


def _linear(layer: nn.Linear, columns: Tensor, out: Tensor) -> Tensor:
    """W x + b for columns x (b, inputs, h), into `out` (b, outputs, h)."""
    weight = layer.weight.expand(len(columns), -1, -1)
    return torch.baddbmm(layer.bias[:, None], weight, columns, out=out)
