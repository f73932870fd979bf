"""Modalities in, one sequence of standardised vectors for each out, with masks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reeltag.data.batches import FeatureReader, PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.feature import Manifest
from reeltag.data.schema import MODALITIES
from reeltag.errors import MissingFeatureError
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.layers.moments import Moments
from reeltag.models.layers.tokens import TokenTable

_MEASURED = 2048
"""Posts whose steps mean and deviation are measured on, evenly spaced."""
_BLOCK = 64
_WORDS_AT_ONCE = 4096
_STEPS = 32
"""Steps of a sequence whose manifest does not say."""


class ModalitySequences(nn.Module):
    """Each modality as a sequence: frames, seconds of sound, words (LOGO §3.2).

    A modality reads its sequence feature (frames, seconds of sound, word vectors, or ids of
    words, whose vectors of `word_width` numbers are learned), or its vectors, joined, as a
    sequence of one step. A modality that a post lacks has no step: its mask is false
    everywhere, and it says nothing.

    Values are standardised on training posts (a sequence's on a sample of them).

    `modalities` names those there are, `widths` the numbers of a step of each. `forward` gives
    for each (values (B, T, width), zeros where there is no step; mask (B, T)).
    """

    def __init__(self, manifests: Mapping[str, Manifest], word_width: int = 300) -> None:
        super().__init__()
        self.sequences: dict[str, str] = {}
        self.widths: dict[str, int] = {}
        self.vectors = nn.ModuleDict()
        self.tables = nn.ModuleDict()
        for modality in MODALITIES:
            own = {name: m for name, m in manifests.items() if m.modality == modality}
            ragged = [name for name, m in own.items() if m.kind != "vector"]
            if (
                len(ragged) > 1
                or (ragged and len(own) > 1)
                or any(own[name].kind == "grid" for name in ragged)
            ):
                raise MissingFeatureError(
                    f"Got {modality} features {', '.join(own)}; expected one sequence of vectors, "
                    "or vectors alone. Choose: --set features=NAME,NAME,..."
                )
            if ragged:
                self.sequences[modality] = ragged[0]
            if ragged and not own[ragged[0]].shape:
                self.widths[modality] = word_width
                self.tables[modality] = TokenTable(_buckets(own[ragged[0]]), word_width)
            elif ragged:
                self.widths[modality] = own[ragged[0]].shape[0]
                self.register_buffer(f"{modality}_mean", torch.zeros(self.widths[modality]))
                self.register_buffer(f"{modality}_scale", torch.ones(self.widths[modality]))
            elif own:
                self.vectors[modality] = ModalityInput(own)
                self.widths[modality] = sum(m.shape[0] for m in own.values())
        self.modalities = tuple(name for name in MODALITIES if name in self.widths)
        self._options = {m: manifests[name].options for m, name in self.sequences.items()}

    def steps_of(self, modality: str) -> int:
        """Steps to expect of a post, for blocks under a budget."""
        if modality not in self.sequences:
            return 1
        return int(self._options[modality].get("frames", _STEPS))

    def fit(self, training: TrainingSet) -> None:
        """Measure mean and deviation of each number over training posts."""
        for vectors in self.vectors.values():
            vectors.fit(training)  # type: ignore[operator]
        if not self.sequences:
            return
        for modality in self.tables:
            words = FeatureReader([training.reader.features[self.sequences[modality]]])
            for rows in torch.split(training.posts.rows, _WORDS_AT_ONCE):
                (steps,) = words.read(rows)[2].values()
                self._table(modality).observe(steps)
        count = len(training.posts)
        sample = torch.arange(0, count, max(1, -(-count // _MEASURED)))
        measured_ones = [name for name in self.sequences if name not in self.tables]
        moments = {modality: Moments(self.widths[modality]) for modality in measured_ones}
        for index in torch.split(sample, _BLOCK) if moments else ():
            found = training.batch(index).steps
            for modality, moment in moments.items():
                each = found[self.sequences[modality]]
                moment.add(each.values[each.mask])
        for modality, measured in moments.items():
            mean, scale = measured.result()
            setattr(self, f"{modality}_mean", mean)
            setattr(self, f"{modality}_scale", scale)

    def forward(self, posts: PostBatch) -> dict[str, tuple[Tensor, Tensor]]:
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for modality in self.modalities:
            if modality in self.tables:
                found[modality] = self._table(modality)(posts.steps[self.sequences[modality]])
            elif modality in self.sequences:
                steps = posts.steps[self.sequences[modality]]
                mean, scale = getattr(self, f"{modality}_mean"), getattr(self, f"{modality}_scale")
                values = (steps.values.to(mean.dtype) - mean) * scale
                found[modality] = (values * steps.mask.unsqueeze(2), steps.mask)
            else:
                vectors = self.vectors[modality]
                assert isinstance(vectors, ModalityInput)
                there = torch.stack([posts.present[name] for name in vectors.names]).any(0)
                found[modality] = (vectors(posts).unsqueeze(1), there.unsqueeze(1))
        return found

    def in_place(self, modality: str, shares: Tensor, posts: PostBatch) -> Tensor:
        """Numbers (B, C, T) by step of `forward`, by step of the feature as it is stored."""
        if modality not in self.tables:
            return shares
        order, _ = self._table(modality).places(posts.steps[self.sequences[modality]])
        back = torch.zeros_like(shares)
        return back.scatter_(2, order.unsqueeze(1).expand_as(shares), shares)

    def _table(self, modality: str) -> TokenTable:
        table = self.tables[modality]
        assert isinstance(table, TokenTable)
        return table


def _buckets(manifest: Manifest) -> int:
    """How many ids there can be. Raises `MissingFeatureError` for numbers that are no ids."""
    buckets = manifest.options.get("buckets")
    if not isinstance(buckets, int) or not manifest.dtype.startswith("int"):
        raise MissingFeatureError(
            f"Feature {manifest.name!r} has one {manifest.dtype} a step; expected vectors, or the "
            "ids of --textual tokens."
        )
    return buckets
