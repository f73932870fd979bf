"""Rows of posts in, model input out: users, feature vectors and masks as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reeltag.data.feature import Feature, Manifest
from reeltag.errors import MissingFeatureError


@dataclass(frozen=True)
class PostBatch:
    """Posts as a model sees them, B of them; hashtags are no part of it.

    users (B,) ids or -1 for nobody we know; vectors[name] (B, dim) float32, zeros where
    missing; present[name] (B,) false where the post lacks that modality; own (B,) position
    among the training posts, or -1: a model that looks up training posts must not find the
    very post it is asked about.
    """

    users: Tensor
    vectors: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    own: Tensor

    def __len__(self) -> int:
        return len(self.users)

    def to(self, device: torch.device | str) -> PostBatch:
        """The same on another device."""
        return PostBatch(
            self.users.to(device),
            {name: vectors.to(device) for name, vectors in self.vectors.items()},
            {name: present.to(device) for name, present in self.present.items()},
            self.own.to(device),
        )


class FeatureReader:
    """Reads rows of vector features from their memory maps, only those asked for."""

    def __init__(self, features: Sequence[Feature]) -> None:
        for feature in features:
            if feature.manifest.kind != "vector":
                raise MissingFeatureError(
                    f"Feature {feature.name!r} is a {feature.manifest.kind}; "
                    "expected a vector feature (one row a post)."
                )
        self.features = {feature.name: feature for feature in features}

    @property
    def manifests(self) -> dict[str, Manifest]:
        """Manifests by name, in reading order."""
        return {name: feature.manifest for name, feature in self.features.items()}

    def batch(self, rows: Tensor, users: Tensor, own: Tensor | None = None) -> PostBatch:
        """Model input of the posts at `rows` (B,) with user ids `users` (B,)."""
        where: NDArray[np.int64] = rows.numpy()
        vectors, present = {}, {}
        for name, feature in self.features.items():
            there = feature.present[where]
            values = feature.rows(where).astype(np.float32, copy=False)
            vectors[name] = torch.from_numpy(np.where(there[:, None], values, np.float32(0)))
            present[name] = torch.from_numpy(there)
        if own is None:
            own = torch.full((len(rows),), -1, dtype=torch.int64)
        return PostBatch(users, vectors, present, own)


def single_post(
    user: int, values: Mapping[str, NDArray[np.float32] | None], manifests: Mapping[str, Manifest]
) -> PostBatch:
    """Model input of one post outside any dataset; None marks a missing modality."""
    vectors, present = {}, {}
    for name, manifest in manifests.items():
        value = values.get(name)
        row = (
            np.zeros(manifest.shape, np.float32) if value is None else np.asarray(value, np.float32)
        )
        if row.shape != manifest.shape:
            raise MissingFeatureError(
                f"Feature {name!r}: got shape {row.shape}, expected {manifest.shape}."
            )
        vectors[name] = torch.from_numpy(row[None, :])
        present[name] = torch.tensor([value is not None])
    return PostBatch(torch.tensor([user]), vectors, present, torch.tensor([-1]))
