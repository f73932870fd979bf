"""Sequences and grids in, one vector a post out: the mean over steps, and over regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from reeltag.data.batches import FeatureReader, PostBatch, Steps
from reeltag.data.feature import Manifest


class PooledReader(FeatureReader):
    """Reads sequences and grids as the means of their entries, a post at a time.

    Sequences of token ids have no mean and are left out.
    """

    def __init__(self, reader: FeatureReader) -> None:
        super().__init__([f for f in reader.features.values() if f.manifest.shape])

    @property
    def manifests(self) -> dict[str, Manifest]:
        """Manifests of the vectors, by name."""
        return pooled_manifests(super().manifests)

    def read(self, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Steps]]:
        """`vectors`, `present` and no `steps` of a `PostBatch`, for the posts at `rows` (B,)."""
        plain = FeatureReader([f for f in self.features.values() if f.offsets is None])
        vectors, present, _ = plain.read(rows)
        for name, feature in self.features.items():
            if feature.offsets is None:
                continue
            there = feature.present[rows.numpy()]
            values = np.zeros((len(rows), feature.dim), np.float32)
            for at in np.flatnonzero(there):
                entries = feature.row(int(rows[at])).reshape(-1, feature.dim)
                values[at] = entries.mean(0, dtype=np.float32)
            vectors[name], present[name] = torch.from_numpy(values), torch.from_numpy(there)
        return vectors, present, {}


def pooled_manifests(manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """What `PooledReader` makes of features: vectors as wide as their entries."""
    return {
        name: replace(manifest, kind="vector", shape=manifest.shape[-1:])
        for name, manifest in manifests.items()
        if manifest.shape
    }


def pooled(posts: PostBatch) -> PostBatch:
    """The same posts with every sequence and grid as its mean."""
    means = {}
    for name, steps in posts.steps.items():
        if steps.values.dim() < 3:
            continue
        values = steps.values.float()
        entries = values if values.dim() == 3 else values.mean(2)
        count = steps.mask.sum(1, keepdim=True).clamp(min=1)
        means[name] = (entries * steps.mask.unsqueeze(2)).sum(1) / count
    return replace(posts, vectors={**posts.vectors, **means}, steps={})
