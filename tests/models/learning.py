"""What tests of trained models share: batches by posts, a few steps of training, a verdict."""

from __future__ import annotations

import math

import numpy as np
import torch

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus
from reeltag.models.contract import Trained, TrainingBatch


def by_posts(corpus: Corpus, index: torch.Tensor) -> TrainingBatch:
    """The training posts at `index` with all hashtags of each."""
    own = corpus.training.posts.hashtags.select(index)
    nothing = torch.zeros(len(own.values), 1, dtype=torch.int64)
    return TrainingBatch(corpus.training.batch(index), own.values, nothing, own.row_of_value)


def taught(model: Trained, corpus: Corpus, steps: int, rate: float = 1e-2) -> list[float]:
    """Train `model` on all posts at once; the loss of every step."""
    torch.manual_seed(0)
    batch = by_posts(corpus, torch.arange(len(corpus.training.posts)))
    optimiser = torch.optim.Adam(model.parameters(), rate)
    losses = []
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss = model.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def recall(scores: torch.Tensor, corpus: Corpus, top: int) -> float:
    """Share of the test posts' hashtags among the `top` best of `scores`, mean over posts."""
    best = scores.topk(top, 1).indices
    carried = corpus.part("test").hashtags
    found = []
    for row in range(len(scores)):
        own = carried.values[carried.offsets[row] : carried.offsets[row + 1]].tolist()
        found.append(len(set(own) & set(best[row].tolist())) / len(own))
    return float(np.mean(found))


def beats_popularity(model: Trained, corpus: Corpus, top: int = 2) -> tuple[float, float]:
    """Recall of the model and of the most used hashtags on the test posts."""
    count = len(corpus.part("test"))
    popular = torch.as_tensor(corpus.hashtags.counts.copy()).float().expand(count, -1)
    own = model.scored(corpus.batch(corpus.part("test"), torch.arange(count)))
    return recall(own, corpus, top), recall(popular, corpus, top)


def softmax_loss(logits: np.ndarray, batch: TrainingBatch) -> float:
    """Mean of -ln p over the examples of a batch, from logits of its posts, one at a time."""
    total = 0.0
    for row, j in zip(batch.owner.tolist(), batch.positives.tolist(), strict=True):
        total -= math.log(math.exp(logits[row, j]) / np.exp(logits[row]).sum())
    return total / len(batch.positives)


def rows_of(posts: PostBatch, modality: str, row: int) -> np.ndarray:
    """A post's raw steps of a modality (T, width), maybe none."""
    for name, steps in posts.steps.items():
        if name.startswith(modality):
            return steps.values[row][steps.mask[row]].double().numpy()
    for name, vectors in posts.vectors.items():
        if name.startswith(modality):
            return vectors[row : row + 1][posts.present[name][row : row + 1]].double().numpy()
    raise KeyError(modality)
