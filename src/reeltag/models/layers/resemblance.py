"""Posts in, how much each resembles each training post out: by words, their pieces, and content."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.models.contract import Sizes
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.postings import Postings
from reeltag.models.layers.steady import steady_product

_BLOCK = 8192


class Resemblance(nn.Module):
    """r(p, q) = a cos_words(p, q) + b cos_pieces(p, q) + c cos_content(p, q),  a + b + c = 1

    Words and pieces are weighed by TF-IDF (`Postings`); content is the features, each
    modality standardised and of length 1 (`ModalityInput`), absent ones silent. Each part is
    an inner product, so r is a kernel. A part the data does not have, or of weight 0, is not
    built; the weights of the others are scaled to sum to 1.

    Shapes: B posts in, (B, kept) out.
    """

    def __init__(self, sizes: Sizes, words: float, pieces: float, content: float) -> None:
        super().__init__()
        weights = {
            "words": words if sizes.words else 0.0,
            "pieces": pieces,
            "content": content if sizes.manifests else 0.0,
        }
        total = sum(weights.values())
        self.weights = {name: weight / total for name, weight in weights.items() if weight > 0}
        self.words = Postings() if "words" in self.weights else None
        self.pieces = Postings() if "pieces" in self.weights else None
        self.input = None
        self.vectors: Tensor
        if "content" in self.weights:
            self.input = ModalityInput(sizes.manifests, unit=True)
            self.register_buffer("vectors", torch.zeros(0, self.input.width))

    def fit(self, training: TrainingSet, kept: Tensor | None = None) -> None:
        """Take in the training posts; compare with those `kept` (all, by default)."""
        if self.words is not None:
            self.words.fit(training.posts.words, kept)
        if self.pieces is not None:
            self.pieces.fit(training.posts.pieces, kept)
        if self.input is not None:
            self.input.fit(training)
            kept = torch.arange(len(training.posts)) if kept is None else kept
            blocks = torch.split(kept, _BLOCK)
            self.vectors = torch.cat([self._unit(training.batch(block)) for block in blocks])

    def _unit(self, posts: PostBatch) -> Tensor:
        assert self.input is not None
        return nn.functional.normalize(self.input(posts), dim=1)

    def forward(self, posts: PostBatch) -> Tensor:
        parts: list[Tensor] = []
        if self.words is not None:
            parts.append(self.weights["words"] * self.words(posts.words))
        if self.pieces is not None:
            parts.append(self.weights["pieces"] * self.pieces(posts.pieces))
        if self.input is not None:
            parts.append(
                self.weights["content"] * steady_product(self._unit(posts), self.vectors.T)
            )
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
