"""Regions of frames in, one narrow vector a region out (UHMAN §2.2)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.feature import Manifest
from reeltag.errors import MissingFeatureError
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.moments import Moments
from reeltag.models.layers.wide_linear import WideLinear

_MEASURED = 512
"""Posts whose regions mean and deviation are measured on, evenly spaced."""
_BLOCK = 16
_FRAMES = 12
"""Frames of a post to reckon with where the manifest does not say."""


class RegionNetwork(nn.Module):
    """Features of regions through a feed-forward network of two layers.

    Reads one grid feature (frames, regions, channels). A dataset that has none gives its
    vectors, one after the other, as the only region of one frame: a legal grid.

    Features are standardised (training posts alone; a grid's on a sample of them), which is
    folded into the first layer: wide rows are touched once.

    Shapes: (B, T, R, dim) and which frames are there (B, T).
    """

    def __init__(self, manifests: Mapping[str, Manifest], dim: int) -> None:
        super().__init__()
        grids = [name for name, manifest in manifests.items() if manifest.kind == "grid"]
        if grids and len(manifests) > 1:
            raise MissingFeatureError(
                f"Got features {', '.join(manifests)}; expected one grid of regions, or vectors "
                f"alone. Choose: --set features={grids[0]}"
            )
        self.grid = grids[0] if grids else None
        self.vectors = None if grids else ModalityInput(manifests)
        if self.grid is None:
            assert self.vectors is not None
            width, self.numbers = self.vectors.width, self.vectors.width
        else:
            manifest = manifests[self.grid]
            width = manifest.shape[-1]
            frames = int(manifest.options.get("frames", _FRAMES))
            self.numbers = frames * manifest.shape[0] * width
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.first = WideLinear(width, dim)
        self.second = nn.Linear(dim, dim)

    def fit(self, training: TrainingSet) -> None:
        """Measure mean and deviation of each channel over training posts."""
        if self.vectors is not None:
            self.vectors.fit(training)
            return
        count, moments = len(training.posts), Moments(len(self.mean))
        sample = torch.arange(0, count, -(-count // _MEASURED))
        for index in torch.split(sample, _BLOCK):
            steps = training.batch(index).steps[self.grid or ""]
            moments.add(steps.values[steps.mask].flatten(0, 1))
        self.mean, self.scale = moments.result()

    def forward(self, posts: PostBatch) -> tuple[Tensor, Tensor]:
        if self.vectors is not None:
            values = self.vectors(posts)[:, None, None]
            mask = torch.stack(list(posts.present.values())).any(0).unsqueeze(1)
            hidden = self.first(values)
        else:
            steps = posts.steps[self.grid or ""]
            values, mask = steps.values, steps.mask
            weight = self.first.weight * self.scale
            hidden = self.first.product(values, weight) + (self.first.bias - weight @ self.mean)
        return self.second(torch.relu(hidden)), mask
