"""A post's vector in, softmax over all hashtags out: what several baselines of LOGO end in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.feature import Manifest
from reeltag.models.contract import Encoded, Factorised, ModelConfig, Sizes, Trained, TrainingBatch
from reeltag.models.layers.segments import segment_sizes
from reeltag.models.layers.sequences import ModalitySequences
from reeltag.models.layers.share import dropout


class SoftmaxConfig(ModelConfig):
    """Settings of every `SoftmaxModel`."""

    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of the post's vector left out of a training step."""


class SoftmaxModel(Factorised, Trained):
    """p(j | post) = softmax_j(w_j · z + b_j), z what a subclass makes of the post (`represent`).

    Loss: the mean over the uses of hashtags of -ln p(j | post): a post with several hashtags
    counts each as one positive example. z and the sum over hashtags are worked out once a
    post. b starts from the shares of the hashtags among the training uses, so a post of which
    nothing is known gets the popular ones.

    Subclasses call `_ends_in` with the width of z when they are built.
    """

    needs_features = True
    reads = "sequence"
    by_post = True
    training_defaults: ClassVar[dict[str, Any]] = {"learning_rate": 1e-3, "batch_size": 128}
    config: SoftmaxConfig

    def __init__(self, config: SoftmaxConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.input = ModalitySequences(self.read_of(sizes.manifests))
        self.modalities = self.input.modalities

    @classmethod
    def read_of(cls, manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
        """The features this model reads, of those there are."""
        return dict(manifests)

    def _ends_in(self, width: int) -> None:
        """Make the classifier of vectors (B, width)."""
        self.out = nn.Linear(width, self.sizes.hashtags)

    @abstractmethod
    def represent(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        """z (B, width), and what the loss adds besides (a scalar)."""

    @torch.no_grad()
    def fit(self, training: TrainingSet) -> None:
        self.input.fit(training)
        uses = torch.bincount(training.posts.hashtags.values, minlength=self.sizes.hashtags)
        share = (uses.double() + 0.5) / (uses.sum() + 0.5 * len(uses))
        self.out.bias.copy_(share.log())

    def encode(self, posts: PostBatch) -> Encoded:
        return {"query": self._query(self.represent(posts)[0])}

    def _query(self, state: Tensor) -> Tensor:
        kept = dropout(state, self.config.dropout, self.training)
        return torch.cat([kept, kept.new_ones(len(kept), 1)], 1)

    def hashtag_vectors(self) -> Tensor:
        # The bias is the factor of a constant 1 at the end of the query.
        return torch.cat([self.out.weight, self.out.bias.unsqueeze(1)], 1)

    def loss(self, batch: TrainingBatch) -> Tensor:
        state, besides = self.represent(batch.posts)
        logits = self.score_all({"query": self._query(state)})
        owner, count = batch.owner, len(batch.positives)
        each = segment_sizes(owner, len(logits)).to(logits.dtype)
        # By flat place: a gradient that is added up in one order, each place at most once.
        own = logits.flatten().index_select(0, owner * logits.shape[1] + batch.positives)
        return ((each * logits.logsumexp(1)).sum() - own.sum()) / count + besides

    def bytes_per_post(self) -> int:
        """Scores, and the steps as read, standardised and mapped."""
        read = sum(
            self.input.steps_of(modality) * (2 * self.input.widths[modality] + self._kept(modality))
            for modality in self.modalities
        )
        return super().bytes_per_post() + 4 * read

    def _kept(self, modality: str) -> int:
        """Numbers worked out for each step of a modality."""
        return 0
