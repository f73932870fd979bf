"""Modality vectors in, one standardised vector a post out; absent modalities are silent."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.feature import Manifest
from reeltag.models.layers.moments import Moments

_BLOCK = 2048


class ModalityInput(nn.Module):
    """v_k = [visual; acoustic; textual]: every feature standardised, then concatenated.

    Mean and deviation of each dimension come from the training posts that have the
    modality. An absent modality enters as zeros, which after standardising is the
    training mean: it neither adds nor hides anything.

    With `unit=True` each present modality is scaled to length 1 instead (cosine models).
    Shapes: (B, dim) for each feature in, (B, width) out.
    """

    def __init__(self, manifests: Mapping[str, Manifest], unit: bool = False) -> None:
        super().__init__()
        self.names, self.unit = list(manifests), unit
        self.dims = [manifest.shape[0] for manifest in manifests.values()]
        self.width = sum(self.dims)
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))

    def fit(self, training: TrainingSet) -> None:
        """Measure mean and deviation over the training posts, in blocks."""
        count, moments = len(training.posts), Moments(self.width)
        for start in range(0, count, _BLOCK):
            batch = training.batch(torch.arange(start, min(start + _BLOCK, count)))
            there = [
                batch.present[name].unsqueeze(1).expand(-1, dim)
                for name, dim in zip(self.names, self.dims, strict=True)
            ]
            moments.add(
                torch.cat([batch.vectors[name] for name in self.names], 1), torch.cat(there, 1)
            )
        self.mean, self.scale = moments.result()

    @torch.no_grad()
    def all(self, training: TrainingSet, kind: torch.dtype = torch.float32) -> Tensor:
        """The standardised features of all training posts (n, width), made in blocks."""
        count = len(training.posts)
        out = torch.empty(count, self.width, dtype=kind, device=self.mean.device)
        for start in range(0, count, _BLOCK):
            index = torch.arange(start, min(start + _BLOCK, count))
            out[start : start + _BLOCK] = self(training.batch(index).to(self.mean.device)).to(kind)
        return out

    def forward(self, posts: PostBatch) -> Tensor:
        parts, start = [], 0
        for name, dim in zip(self.names, self.dims, strict=True):
            block = slice(start, start + dim)
            values = (posts.vectors[name] - self.mean[block]) * self.scale[block]
            if self.unit:
                values = nn.functional.normalize(values, dim=1)
            parts.append(values * posts.present[name].unsqueeze(1))
            start += dim
        return torch.cat(parts, 1)
