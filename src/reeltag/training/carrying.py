"""A trained run in, a new model's weights out: rows by name, new ones from those most like them.

A vocabulary that has grown has other ids: rows of users, hashtags and words are carried by their
names. Who is new starts where those stand that it resembles most in what their posts contain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import normalize

from reeltag.data.corpus import Corpus, TrainingSet
from reeltag.data.pooled import pooled_reader
from reeltag.data.vocabulary import UNKNOWN, Vocabulary
from reeltag.models.contract import Sizes, Trained
from reeltag.models.layers.modalities import ModalityInput
from reeltag.models.registry import make
from reeltag.runtime import generator_of
from reeltag.training.run import Run
from reeltag.words import words_column

Kind = Literal["users", "hashtags", "words"]
KINDS: tuple[Kind, ...] = ("users", "hashtags", "words")
NEAREST = 10
"""Known rows that a new one starts from."""
_BLOCK = 1024
"""New rows that are compared with all known ones at once."""
_SKETCH = 256
"""Numbers that stand for the words of a post, where it has no features."""


@dataclass(frozen=True)
class Carried:
    """How many rows of each kind were known, and how many began as a mean of others."""

    known: dict[Kind, int]
    new: dict[Kind, int]

    def __str__(self) -> str:
        return ", ".join(f"{self.known[k]:,} {k} known and {self.new[k]:,} new" for k in KINDS)


@torch.no_grad()
def carry(run: Run, model: Trained, corpus: Corpus) -> Carried:
    """Start `model`, made for `corpus`, from the weights of a run of the same kind and settings.

    A parameter that is no table by user, hashtag or word is taken as it is where its shape is the
    same, and keeps what it was drawn as where that differs (fields of users, other features).
    """
    vocabularies: dict[Kind, tuple[Vocabulary, Vocabulary]] = {
        "users": (run.users, corpus.users),
        "hashtags": (run.hashtags, corpus.hashtags),
        "words": (run.words, corpus.words),
    }
    ids = {kind: _known(*vocabularies[kind]) for kind in KINDS}
    profiles = _profiles(corpus.training)
    mixes = {
        kind: _mix(ids[kind], len(vocabularies[kind][0]), profiles.get(kind)) for kind in KINDS
    }
    stored = dict(run.model.named_parameters())
    axes = _axes(model)
    for name, parameter in model.named_parameters():
        old = stored.get(name)
        if old is None or old.ndim != parameter.ndim:
            continue
        value = old.detach().to(parameter)
        for axis, kind in axes[name].items():
            first = value.movedim(axis, 0)
            rows = first.reshape(len(first), -1)
            own = len(vocabularies[kind][0])  # what is beyond stands for nobody, as before
            rows = torch.cat([mixes[kind].of(rows[:own]), rows[own:]])
            value = rows.view(len(rows), *first.shape[1:]).movedim(0, axis)
        if value.shape == parameter.shape:
            parameter.copy_(value)
    known = {kind: int((ids[kind] != UNKNOWN).sum()) for kind in KINDS}
    return Carried(known, {kind: len(ids[kind]) - known[kind] for kind in KINDS})


def _axes(model: Trained) -> dict[str, dict[int, Kind]]:
    """Of each parameter the axes that are as long as a vocabulary: those that grow with it."""
    small = replace(model.sizes, users=3, hashtags=4, words=5)
    base = _shapes(model, small)
    found: dict[str, dict[int, Kind]] = {name: {} for name in base}
    for kind in KINDS:
        more = _shapes(model, replace(small, **{kind: getattr(small, kind) + 1}))
        for name, shape in more.items():
            for axis, (now, before) in enumerate(zip(shape, base[name], strict=True)):
                if now != before:
                    found[name][axis] = kind
    return found


def _shapes(model: Trained, sizes: Sizes) -> dict[str, torch.Size]:
    with torch.random.fork_rng(devices=[]):
        built = make(model.name, model.config, sizes)
    return {name: parameter.shape for name, parameter in built.named_parameters()}


def _known(old: Vocabulary, new: Vocabulary) -> Tensor:
    """The old id of each new one (n,), `UNKNOWN` where there was none."""
    return torch.tensor([old.id_of(name or None) for name in new.names], dtype=torch.int64)


@dataclass(frozen=True)
class _Mix:
    """What each new row is made of: `shares` (new, old), sparse; `nobody` (n,) takes the mean."""

    shares: Tensor
    nobody: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """New rows (new, d) from old ones (old, d)."""
        made: Tensor = self.shares.to(rows) @ rows
        if len(rows):
            made[self.nobody.to(made.device)] = rows.mean(0)
        return made


def _mix(ids: Tensor, olds: int, profiles: Tensor | None) -> _Mix:
    """By the old id of each row, and what is known of each row's content (n, d), if anything."""
    there = (ids != UNKNOWN).nonzero().squeeze(1)
    strange = (ids == UNKNOWN).nonzero().squeeze(1)
    rows, columns, shares = [there], [ids[there]], [torch.ones(len(there))]
    nobody = strange
    if profiles is not None and len(strange) and len(there):
        most, known = min(NEAREST, len(there)), profiles[there].T
        blocks = [
            torch.topk(profiles[b] @ known, most, dim=1) for b in torch.split(strange, _BLOCK)
        ]
        near = torch.cat([block.indices for block in blocks])
        weights = torch.cat([block.values for block in blocks]).clamp(min=0).square()
        total = weights.sum(1)
        nobody = strange[total == 0]
        rows.append(strange.repeat_interleave(near.shape[1]))
        columns.append(ids[there][near.flatten()])
        shares.append((weights / total.clamp(min=1e-12).unsqueeze(1)).flatten())
    index = torch.stack([torch.cat(rows), torch.cat(columns)])
    table = torch.sparse_coo_tensor(
        index, torch.cat(shares), (len(ids), olds), check_invariants=False
    )
    return _Mix(table.coalesce(), nobody)


def _profiles(training: TrainingSet) -> dict[Kind, Tensor]:
    """What posts of each user, and with each hashtag, contain: unit vectors (n, d), centred."""
    content = _content(training)
    owner, tags = training.triples
    users = training.posts.users
    known = (users >= 0).nonzero().squeeze(1)
    return {
        "hashtags": _means(content, owner, tags, len(training.hashtags)),
        "users": _means(content, known, users[known], len(training.users)),
    }


def _means(content: Tensor, posts: Tensor, groups: Tensor, count: int) -> Tensor:
    sums = torch.zeros(count, content.shape[1]).index_add_(0, groups, content[posts])
    means = sums / torch.bincount(groups, minlength=count).clamp(min=1).unsqueeze(1)
    return normalize(means - means.mean(0), dim=1)


def _content(training: TrainingSet) -> Tensor:
    """Features and words of each post (n, d), each part of length 1."""
    parts = [_words(training)]
    read = replace(training, reader=pooled_reader(training.reader, training.posts.rows))
    if read.manifests:
        layer = ModalityInput(read.manifests, unit=True)
        layer.fit(read)
        parts.append(normalize(layer.all(read), dim=1))
    return torch.cat(parts, 1)


def _words(training: TrainingSet) -> Tensor:
    """A random projection of the captions' words, rare ones counting more (n, 256)."""
    spoken = pl.DataFrame({"word": words_column(training.captions)}).with_row_index("post")
    spoken = spoken.explode("word", empty_as_null=False).drop_nulls().unique(maintain_order=True)
    ids = torch.from_numpy(spoken["word"].rank("dense").to_numpy().astype("int64")) - 1
    posts = torch.from_numpy(spoken["post"].to_numpy().astype("int64"))
    sketch = torch.zeros(len(training.posts), _SKETCH)
    if not len(ids):
        return sketch
    counts = torch.bincount(ids)
    drawn = torch.randn(len(counts), _SKETCH, generator=generator_of("sketch of words"))
    drawn *= (len(training.posts) / counts).log().unsqueeze(1)
    return normalize(sketch.index_add_(0, posts, drawn[ids]), dim=1)
