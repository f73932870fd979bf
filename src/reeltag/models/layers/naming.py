"""Hashtags' names in, what they mean out: vectors by the extractor that read the captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from reeltag.data.feature import Manifest
from reeltag.errors import ConfigError, MissingFeatureError
from reeltag.features.base import CaptionExtractor
from reeltag.features.registry import cached
from reeltag.hashtags import split_words

_AT_ONCE = 4096
_last: dict[tuple[str, tuple[str, ...]], Tensor] = {}


def caption_feature(manifests: Mapping[str, Manifest]) -> Manifest:
    """The feature that holds a vector a caption and whose extractor can read names as well.

    Raises `MissingFeatureError` where there is none (columns of a table cannot be read off a
    name), and `MissingExtraError` where the extractor's library is absent.
    """
    faults = []
    for manifest in manifests.values():
        if manifest.modality == "textual" and manifest.kind == "vector":
            try:
                if isinstance(cached(manifest), CaptionExtractor):
                    return manifest
            except ConfigError as fault:
                faults.append(f" ({fault}.)")
    raise MissingFeatureError(
        "What a name means is read by the extractor that read the captions, but no feature is a "
        f"vector of captions whose extractor is at hand{''.join(faults)}. "
        "Make one: reeltag extract DATASET --textual minilm"
    )


def name_vectors(manifest: Manifest, names: Sequence[str]) -> Tensor:
    """Unit vectors of hashtags by the words of their names (H, dim), the mean name taken off.

    Names are cut into words by `reeltag.hashtags.split_words`. One without a word that the
    extractor knows is zeros. The last answer is kept: several scorers ask for the same names,
    and ask again when a model is fitted again.
    """
    key = manifest.fingerprint, tuple(names)
    if key not in _last:
        _last.clear()
        _last[key] = _embedded(manifest, names)
    return _last[key].clone()


def _embedded(manifest: Manifest, names: Sequence[str]) -> Tensor:
    extractor = cached(manifest)
    assert isinstance(extractor, CaptionExtractor)
    spelt = [" ".join(split_words(name)) for name in names]
    found = [
        row
        for start in range(0, len(spelt), _AT_ONCE)
        for row in extractor.extract(spelt[start : start + _AT_ONCE])
    ]
    there = torch.tensor([row is not None for row in found])
    table = torch.zeros(len(names), *manifest.shape)
    if there.any():
        table[there] = torch.from_numpy(np.stack([row for row in found if row is not None])).float()
        table[there] -= table[there].mean(0)
    return normalize(table, dim=1)
