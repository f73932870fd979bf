"""Posts in, how much each resembles each training post out: by words, their pieces, and content."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Literal

import torch
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import Sizes
from reeltag.models.layers.grid import grid_counts, grid_product
from reeltag.models.layers.growing import Room
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.postings import Postings

Part = Literal["words", "pieces", "content"]


class Cosines(dict[Part, Tensor]):
    """Of B posts with the n training posts (B, n), by part."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[Hashable, tuple[Tensor, Tensor]] = {}

    def once(
        self, key: Hashable, make: Callable[[], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """What `make` makes of them, made once for each `key`: several models may need it."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


_BLOCK = 8192


class Resemblance(nn.Module):
    """Cosines of posts with training posts, one table for each part that the data has.

    Words and pieces are weighed by TF-IDF (`Postings`); content is the features, each
    modality standardised and of length 1 (`ModalityInput`), absent ones silent.

    Content vectors lie on a grid (`grid_counts`): a cosine does not show how posts were batched.

    Shapes: B posts in, (B, n) or (B, m) out for each part.
    """

    def __init__(self, sizes: Sizes, parts: Collection[Part]) -> None:
        super().__init__()
        self.words = Postings() if "words" in parts and sizes.words else None
        self.pieces = Postings() if "pieces" in parts else None
        self.input = None
        self.vectors: Tensor
        if "content" in parts and sizes.manifests:
            self.input = ModalityInput(sizes.manifests, unit=True)
            self.register_buffer("vectors", torch.zeros(0, self.input.width, dtype=torch.int16))
            self._room = Room()

    def fit(self, training: TrainingSet) -> None:
        """Take in the training posts."""
        if self.words is not None:
            self.words.fit(training.posts.words)
        if self.pieces is not None:
            self.pieces.fit(training.posts.pieces)
        if self.input is not None:
            self.input.fit(training)
            blocks = torch.split(torch.arange(len(training.posts)), _BLOCK)
            self.vectors = torch.cat([self._unit(training.batch(block)) for block in blocks])

    def _unit(self, posts: PostBatch) -> Tensor:
        assert self.input is not None
        return grid_counts(nn.functional.normalize(self.input(posts), dim=1))

    def forward(self, posts: PostBatch, among: Tensor | None = None) -> Cosines:
        """With all training posts, or with those at the positions `among` (m,)."""
        found = Cosines()
        if self.words is not None:
            found["words"] = self.words(posts.words)
        if self.pieces is not None:
            found["pieces"] = self.pieces(posts.pieces)
        if among is not None:
            found |= {part: cosines.index_select(1, among) for part, cosines in found.items()}
        if self.input is not None:
            vectors = self.vectors if among is None else self.vectors.index_select(0, among)
            found["content"] = grid_product(self._unit(posts), vectors)
        return found

    def observe(self, posts: PostBatch) -> None:
        """Compare with published posts too; idf, means and deviations stay as fitted."""
        if self.words is not None:
            self.words.add(posts.words)
        if self.pieces is not None:
            self.pieces.add(posts.pieces)
        if self.input is not None:
            self.vectors = self._room.with_rows(self.vectors, self._unit(posts))
