"""Rows of posts in, model input out: users, feature vectors and masks as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reeltag.data.feature import Feature, Manifest
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingFeatureError

NO_TIME = -(2**62)
"""Stands for an absent time."""


@dataclass(frozen=True)
class PostBatch:
    """Posts as a model sees them, B of them; hashtags are no part of it.

    users (B,) ids or -1 for nobody we know; vectors[name] (B, dim) float32, zeros where
    missing; present[name] (B,) false where the post lacks that modality; own (B,) position
    among the training posts, or -1: a model that looks up training posts must not find the
    very post it is asked about; times (B,) seconds since 1970 or `NO_TIME`; words: ids of
    the caption's words in the training vocabulary, empty for models that read none.
    """

    users: Tensor
    vectors: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    own: Tensor
    times: Tensor
    words: Ragged

    def __len__(self) -> int:
        return len(self.users)

    def to(self, device: torch.device | str) -> PostBatch:
        """The same on another device."""
        return PostBatch(
            self.users.to(device),
            {name: vectors.to(device) for name, vectors in self.vectors.items()},
            {name: present.to(device) for name, present in self.present.items()},
            self.own.to(device),
            self.times.to(device),
            self.words.to(device),
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

    def read(self, rows: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """`vectors` and `present` of a `PostBatch`, for the posts at `rows` (B,)."""
        vectors: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        if not self.features:
            return vectors, present
        where: NDArray[np.int64] = rows.numpy()
        for name, feature in self.features.items():
            there = feature.present[where]
            values = feature.rows(where).astype(np.float32, copy=False)
            vectors[name] = torch.from_numpy(np.where(there[:, None], values, np.float32(0)))
            present[name] = torch.from_numpy(there)
        return vectors, present


def single_post(
    user: int,
    values: Mapping[str, NDArray[np.float32] | None],
    manifests: Mapping[str, Manifest],
    time: int = NO_TIME,
    words: NDArray[np.int64] | None = None,
) -> PostBatch:
    """Model input of one post outside any dataset; None marks a missing modality.

    `words` are ids of its caption's distinct words, -1 for those unknown.
    """
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
    known = torch.zeros(0, dtype=torch.int64)
    if words is not None:
        known = torch.from_numpy(words[words >= 0])
    return PostBatch(
        users=torch.tensor([user]),
        vectors=vectors,
        present=present,
        own=torch.tensor([-1]),
        times=torch.tensor([time]),
        words=Ragged(known, torch.tensor([0, len(known)])),
    )
