"""Sequences and grids in, one vector a post out: the mean over steps, and over regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from reeltag.data.batches import FeatureReader, PostBatch, Steps
from reeltag.data.feature import Feature, Manifest

_BLOCK = 32
"""Posts whose entries are read at once: a grid of a post takes megabytes."""


def pooled_reader(reader: FeatureReader, rows: Tensor) -> FeatureReader:
    """A reader of the same features whose sequences and grids are their means, made here.

    Only the posts at `rows` (n,) have a mean, the others lack the modality; each is read once.
    Sequences of token ids have no mean and are left out.
    """
    features = [feature for feature in reader.features.values() if feature.manifest.shape]
    found = [_pooled(feature, rows) if feature.offsets is not None else feature
             for feature in features]  # fmt: skip
    return FeatureReader(found)


def _pooled(feature: Feature, rows: Tensor) -> Feature:
    reader = FeatureReader([feature])
    values = np.zeros((len(feature), feature.dim), np.float32)
    present = np.zeros(len(feature), dtype=bool)
    for block in torch.split(rows, _BLOCK):
        _, there, steps = reader.read(block)
        values[block.numpy()] = _means(steps[feature.name]).numpy()
        present[block.numpy()] = there[feature.name].numpy()
    return Feature(_pooled_manifest(feature.manifest), values, present)


def pooled_manifests(manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """What `pooled_reader` makes of features: vectors as wide as their entries."""
    return {
        name: _pooled_manifest(manifest) for name, manifest in manifests.items() if manifest.shape
    }


def _pooled_manifest(manifest: Manifest) -> Manifest:
    return replace(manifest, kind="vector", shape=manifest.shape[-1:])


def pooled(posts: PostBatch) -> PostBatch:
    """The same posts with every sequence and grid as its mean."""
    means = {name: _means(steps) for name, steps in posts.steps.items() if steps.values.dim() > 2}
    return replace(posts, vectors={**posts.vectors, **means}, steps={})


def _means(steps: Steps) -> Tensor:
    """The mean over the steps there are, and over regions (B, dim); zeros where there are none."""
    values = steps.values.float()
    entries = values if values.dim() == 3 else values.mean(2)
    count = steps.mask.sum(1, keepdim=True).clamp(min=1)
    return (entries * steps.mask.unsqueeze(2)).sum(1) / count
