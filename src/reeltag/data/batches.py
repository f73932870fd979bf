"""Rows of posts in, model input out: users, feature vectors and masks as tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
class Steps:
    """Ragged entries of one feature, padded to the longest of the batch.

    values (B, T, dim) or, of a grid, (B, T, regions, dim), as stored (float16 stays float16),
    zeros where mask (B, T) is false. A post that lacks the modality has no step.
    """

    values: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> Steps:
        """The same on another device."""
        return Steps(self.values.to(device), self.mask.to(device))


@dataclass(frozen=True)
class PostBatch:
    """Posts as a model sees them, B of them; hashtags are no part of it.

    users (B,) ids or -1 for nobody we know; vectors[name] (B, dim) float32, zeros where
    missing; present[name] (B,) false where the post lacks that modality; own (B,) position
    among the training posts, or -1: a model that looks up training posts must not find the
    very post it is asked about; times (B,) seconds since 1970 or `NO_TIME`; words: ids of
    the caption's words in the training vocabulary, empty for models that read none;
    steps[name]: entries of sequences and grids; fields (B, F): codes of what is known about
    the user (`reeltag.data.profiles`), 0 for unknown; pieces: ids of what the caption's words
    are made of (`reeltag.words.pieces`), no row where no model reads them; contexts (B, 2) ids
    of the music and the place (`reeltag.data.contexts`), -1 for unknown: so is what is left out.
    """

    users: Tensor
    vectors: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    own: Tensor
    times: Tensor
    words: Ragged
    fields: Tensor
    steps: Mapping[str, Steps] = field(default_factory=dict)
    pieces: Ragged = field(default_factory=Ragged.empty)
    contexts: Tensor = field(default_factory=lambda: no_contexts(0))

    def __post_init__(self) -> None:
        if not len(self.contexts):
            object.__setattr__(self, "contexts", no_contexts(len(self), self.users.device))

    def __len__(self) -> int:
        return len(self.users)

    def select(self, rows: Tensor) -> PostBatch:
        """The posts at `rows` (n,), in that order."""
        return PostBatch(
            self.users[rows],
            {name: vectors[rows] for name, vectors in self.vectors.items()},
            {name: present[rows] for name, present in self.present.items()},
            self.own[rows],
            self.times[rows],
            self.words.select(rows),
            self.fields[rows],
            {name: Steps(s.values[rows], s.mask[rows]) for name, s in self.steps.items()},
            self.pieces.select(rows) if len(self.pieces) else self.pieces,
            self.contexts[rows],
        )

    def to(self, device: torch.device | str) -> PostBatch:
        """The same on another device."""
        return PostBatch(
            self.users.to(device),
            {name: vectors.to(device) for name, vectors in self.vectors.items()},
            {name: present.to(device) for name, present in self.present.items()},
            self.own.to(device),
            self.times.to(device),
            self.words.to(device),
            self.fields.to(device),
            {name: steps.to(device) for name, steps in self.steps.items()},
            self.pieces.to(device),
            self.contexts.to(device),
        )


def no_contexts(count: int, device: torch.device | str = "cpu") -> Tensor:
    """Ids (count, 2) of posts whose music and place nobody knows."""
    return torch.full((count, 2), -1, device=device)


class FeatureReader:
    """Reads entries of features from their memory maps, only those asked for."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = {feature.name: feature for feature in features}

    @property
    def manifests(self) -> dict[str, Manifest]:
        """Manifests by name, in reading order."""
        return {name: feature.manifest for name, feature in self.features.items()}

    def read(
        self, rows: Tensor, among: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Steps]]:
        """`vectors`, `present` and `steps` of a `PostBatch`, for the posts at `rows` (B,).

        Steps are padded to the longest post, of those at `among` where it is given.
        """
        vectors: dict[str, Tensor] = {}
        present: dict[str, Tensor] = {}
        steps: dict[str, Steps] = {}
        if not self.features:
            return vectors, present, steps
        where: NDArray[np.int64] = rows.numpy()
        others = where if among is None else among.numpy()
        for name, feature in self.features.items():
            there = feature.present[where]
            present[name] = torch.from_numpy(there)
            if feature.offsets is not None:
                steps[name] = _steps_of(feature, feature.offsets, where, others)
                continue
            values = feature.rows(where).astype(np.float32, copy=False)
            if not there.all():
                values[~there] = 0
            vectors[name] = torch.from_numpy(values)
        return vectors, present, steps


def _steps_of(
    feature: Feature,
    offsets: NDArray[np.int64],
    where: NDArray[np.int64],
    among: NDArray[np.int64],
) -> Steps:
    """Entries of the posts at `where`, read once each, straight to their padded places."""
    lengths = (offsets[where + 1] - offsets[where]) * feature.present[where]
    longest = int(((offsets[among + 1] - offsets[among]) * feature.present[among]).max(initial=1))
    mask = np.arange(longest) < lengths[:, None]
    shape = (len(where), longest, *feature.manifest.shape)
    if not len(feature.values):
        return Steps(
            torch.from_numpy(np.zeros(shape, feature.values.dtype)), torch.from_numpy(mask)
        )
    # One copy, straight to the padded places; what is not there is overwritten with zeros.
    index = np.where(mask, offsets[where][:, None] + np.arange(longest), 0)
    values = np.empty(shape, feature.values.dtype)
    np.take(feature.values, index, axis=0, out=values, mode="clip")
    values[~mask] = 0
    return Steps(torch.from_numpy(values), torch.from_numpy(mask))


def single_post(
    user: int,
    values: Mapping[str, NDArray[np.float32] | None],
    manifests: Mapping[str, Manifest],
    time: int = NO_TIME,
    words: NDArray[np.int64] | None = None,
    fields: Tensor | None = None,
    pieces: Sequence[int] = (),
    contexts: Tensor | None = None,
) -> PostBatch:
    """Model input of one post outside any dataset; None marks a missing modality.

    `words` are ids of its caption's distinct words, -1 for those unknown; `fields` (F,) codes
    of what is known about its user; `pieces` those of its caption (`reeltag.words.pieces`);
    `contexts` (1, 2) ids of its music and place. Raises as `check_fits` does.
    """
    vectors, present, steps = {}, {}, {}
    for name, manifest in manifests.items():
        value = values.get(name)
        ragged = manifest.kind != "vector"
        if value is None:
            row = np.zeros((1, *manifest.shape) if ragged else manifest.shape, manifest.dtype)
        else:
            row = np.asarray(value, manifest.dtype if ragged else np.float32)
        check_fits(row, manifest)
        present[name] = torch.tensor([value is not None])
        if ragged:
            mask = torch.full((1, len(row)), value is not None)
            steps[name] = Steps(torch.from_numpy(row[None]), mask)
        else:
            vectors[name] = torch.from_numpy(row[None].astype(np.float32, copy=False))
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
        fields=torch.zeros(1, 0, dtype=torch.int64) if fields is None else fields.view(1, -1),
        steps=steps,
        pieces=Ragged(torch.tensor(pieces, dtype=torch.int64), torch.tensor([0, len(pieces)])),
        contexts=no_contexts(1) if contexts is None else contexts,
    )


def check_fits(value: NDArray[Any], manifest: Manifest) -> None:
    """Whether `value` can be the feature that `manifest` describes, of one post.

    Raises `MissingFeatureError` for another shape, for no steps at all, for numbers that are not
    finite, and for ids beyond those there are (`buckets`).
    """
    ragged = manifest.kind != "vector"
    if (value.shape[1:] if ragged else value.shape) != manifest.shape:
        raise MissingFeatureError(
            f"Feature {manifest.name!r}: got shape {value.shape}, expected {manifest.shape}"
            f"{' in each step' if ragged else ''}."
        )
    if ragged and not len(value):
        raise MissingFeatureError(
            f"Feature {manifest.name!r}: got no step, expected one or more. "
            "Leave the feature out where a post has none."
        )
    if not np.isfinite(value).all():
        raise MissingFeatureError(
            f"Feature {manifest.name!r}: got a number that is not finite, expected finite ones. "
            "Leave the feature out where a post has none."
        )
    ids = manifest.options.get("buckets")
    if ids is not None and not 0 <= value.min() <= value.max() < ids:
        raise MissingFeatureError(
            f"Feature {manifest.name!r}: got ids {value.min()} to {value.max()}, "
            f"expected 0 to {ids - 1}."
        )


def collate(batches: Sequence[PostBatch]) -> PostBatch:
    """One batch of all posts of `batches`, at least one of them, in their order.

    All carry the same features, on one device. Steps are padded to the longest post.
    """
    if len(batches) == 1:
        return batches[0]
    first = batches[0]

    def joined(parts: Iterable[Tensor]) -> Tensor:
        return torch.cat(list(parts))

    return PostBatch(
        users=joined(b.users for b in batches),
        vectors={name: joined(b.vectors[name] for b in batches) for name in first.vectors},
        present={name: joined(b.present[name] for b in batches) for name in first.present},
        own=joined(b.own for b in batches),
        times=joined(b.times for b in batches),
        words=Ragged.chained([b.words for b in batches]),
        fields=joined(b.fields for b in batches),
        steps={name: _padded([b.steps[name] for b in batches]) for name in first.steps},
        pieces=Ragged.chained([b.pieces for b in batches]),
        contexts=joined(b.contexts for b in batches),
    )


def _padded(parts: Sequence[Steps]) -> Steps:
    """The steps of all posts of `parts`, padded to the longest."""
    longest = max(part.mask.shape[1] for part in parts)
    count = sum(len(part.mask) for part in parts)
    values = parts[0].values.new_zeros(count, longest, *parts[0].values.shape[2:])
    mask = parts[0].mask.new_zeros(count, longest)
    start = 0
    for part in parts:
        rows, width = part.mask.shape
        values[start : start + rows, :width] = part.values
        mask[start : start + rows, :width] = part.mask
        start += rows
    return Steps(values, mask)
