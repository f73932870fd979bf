"""Captions, features and users in, model input out; and a run that knows posts once published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from reeltag.data.batches import PostBatch, collate, single_post
from reeltag.data.importers.times import decode
from reeltag.data.ragged import Ragged
from reeltag.errors import ConfigError, RunError
from reeltag.models.layers.growing import longer
from reeltag.models.observing import Observing
from reeltag.models.registry import REGISTRY
from reeltag.training.evidence import Evidence
from reeltag.training.run import Run
from reeltag.words import pieces as pieces_of
from reeltag.words import words as words_in

Values = Mapping[str, NDArray[Any] | None]
"""Features of one post by name; None: the modality is missing."""


@dataclass(frozen=True)
class Circumstances:
    """When a post is published, in seconds since 1970, and with which music and place, if any."""

    when: int
    music: str | None = None
    place: str | None = None

    def ids(self, run: Run) -> Tensor:
        """Ids (1, 2) of music and place, -1 where absent or not known."""
        return run.contexts.ids_of(self.music, self.place)

    def strange(self, run: Run) -> list[str]:
        """What was said of the post that training did not know, in a sentence each."""
        kinds = (("music", self.music), ("place", self.place))
        return [
            f"{kind} {name!r} is not among the {width} known from training: treated as unknown"
            for (kind, name), known, width in zip(
                kinds, self.ids(run)[0].tolist(), run.contexts.widths, strict=True
            )
            if name and known < 0
        ]


def post_of(
    run: Run, user: int, values: Values, text: str, about: Circumstances, fields: Tensor
) -> PostBatch:
    """Model input of one post; `text` is its caption without hashtags."""
    said = [run.words.id_of(word) for word in sorted(set(words_in(text)))]
    words = np.array(said, dtype=np.int64)
    pieces = pieces_of(text) if run.model.needs_pieces else ()
    return single_post(
        user, values, run.manifests, about.when, words, fields, pieces, about.ids(run)
    )


def seconds_of(moment: str) -> int:
    """Seconds since 1970 of a time, such as `2024-05-01T18:30`; UTC unless it has a zone.

    Raises `ConfigError` for what is no time.
    """
    seconds: int | None = decode(pl.Series([moment])).dt.epoch("s")[0]
    if seconds is None:
        raise ConfigError(f"Got time {moment!r}, expected one such as 2024-05-01T18:30.")
    return seconds


def check_observes(run: Run) -> Observing:
    """The run's model. Raises `RunError` where it cannot observe, naming those that can."""
    if isinstance(run.model, Observing):
        return run.model
    able = [name for name, entry in REGISTRY.items() if issubclass(entry.model, Observing)]
    raise RunError(
        f"{run.path} is a run of {run.model.name}, which learns of new posts by training alone. "
        f"Expected one of a model that can observe: {', '.join(able)}."
    )


@dataclass(frozen=True)
class NewPost:
    """A post that was published: what is learned of it."""

    user: str | None
    hashtags: Sequence[str]
    """Normalised and distinct."""
    text: str
    """Its caption without hashtags."""
    values: Values
    about: Circumstances
    name: str
    """Its id, for reasons."""


def publish(run: Run, evidence: Evidence, posts: Sequence[NewPost]) -> tuple[Run, Evidence]:
    """The run and its evidence with posts more, taken in one after the other.

    The model and the counts are changed in place; vocabularies and profiles grow by the users
    and the hashtags that are new. Raises `MissingFeatureError` for a feature that does not fit,
    and then nothing is changed.
    """
    model = check_observes(run)
    if not posts:
        return run, evidence
    batch = collate([post_of(run, -1, p.values, p.text, p.about, _unknown(run)) for p in posts])
    users = [p.user for p in posts if p.user is not None and run.users.id_of(p.user) < 0]
    tags = [tag for p in posts for tag in p.hashtags if run.hashtags.id_of(tag) < 0]
    users, tags = list(dict.fromkeys(users)), list(dict.fromkeys(tags))
    if users or tags:
        model.grow(len(users), tags)
        run = replace(
            run,
            users=run.users.grown(users) if users else run.users,
            hashtags=run.hashtags.grown(tags) if tags else run.hashtags,
            profiles=longer(run.profiles, len(run.users) + len(users)),
        )
    ids = [run.users.id_of(post.user) for post in posts]
    carried = [[run.hashtags.id_of(tag) for tag in post.hashtags] for post in posts]
    who, hashtags = torch.tensor(ids), Ragged.from_lists(carried)
    fields = longer(run.profiles, len(run.users) + 1)[who]  # of nobody: the last row, zeros
    batch = replace(batch, users=who, fields=fields)
    model.observe(batch.to(model.device), hashtags.to(model.device))
    np.add.at(run.hashtags.counts, hashtags.values.numpy(), 1)
    np.add.at(run.users.counts, who[who >= 0].numpy(), 1)
    names, texts = [post.name for post in posts], [post.text for post in posts]
    return run, evidence.with_posts(names, ids, carried, texts, batch)


def _unknown(run: Run) -> Tensor:
    """Codes (F,) of the fields of somebody of whom nothing is known."""
    return run.profiles.new_zeros(run.profiles.shape[1])
