"""Training posts and rows asked for in; their standardised features out, read from their files."""

from __future__ import annotations

import torch
from torch import Tensor

from reeltag.data.corpus import TrainingSet
from reeltag.models.layers.modalities import ModalityInput


class StoredFeatures:
    """Features of the training posts (n, width), float32, that stay where they are stored.

    Stands for the tensor that `ModalityInput.all` makes, where that would take too much memory:
    rows are read from the memory-mapped files, and standardised, each time they are asked for.
    """

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, training: TrainingSet, inputs: ModalityInput) -> None:
        self.training, self.inputs = training, inputs
        self.shape: tuple[int, ...] = (len(training.posts), inputs.width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        return self.index_select(0, torch.arange(*rows.indices(len(self))))

    @torch.no_grad()
    def index_select(self, _: int, rows: Tensor) -> Tensor:
        """The features of the posts at `rows` (m,): (m, width)."""
        vectors: Tensor = self.inputs(self.training.batch(rows))
        return vectors

    def to(self, device: torch.device) -> StoredFeatures | Tensor:
        """Themselves; all of them as a tensor on an accelerator, which cannot read files."""
        return self if device.type == "cpu" else self.inputs.all(self.training)
