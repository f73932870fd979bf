"""Posts read for a part of a batch: steps as long as in the whole batch."""

from __future__ import annotations

from pathlib import Path

import torch

from reeltag.data.corpus import batch_of, open_corpus
from tests.models.sequenced import with_sequences


def test_steps_are_padded_to_the_longest_of_the_whole_batch(tmp_path: Path) -> None:
    training = open_corpus(with_sequences(tmp_path / "data"), "main", reads="sequence").training
    whole = torch.arange(12)
    together = batch_of(training.reader, training.posts, whole)
    for low, high in ((0, 1), (1, 5), (5, 12)):
        part = batch_of(training.reader, training.posts, whole[low:high], among=whole)
        for name, steps in together.steps.items():
            assert torch.equal(part.steps[name].values, steps.values[low:high])
            assert torch.equal(part.steps[name].mask, steps.mask[low:high])
