"""A caption, features and a user in, model input out; and a run that knows it once published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from reeltag.data.batches import PostBatch, single_post
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
        said = {"music": [self.music], "place": [self.place]}
        return run.contexts.ids(pl.DataFrame(said, dict.fromkeys(said, pl.Utf8)))

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
    words = run.words.ids_of(pl.Series(sorted(set(words_in(text))), dtype=pl.Utf8))
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


def publish(
    run: Run,
    evidence: Evidence,
    user: str | None,
    hashtags: Sequence[str],
    text: str,
    values: Values,
    about: Circumstances,
    name: str,
) -> tuple[Run, Evidence]:
    """The run and its evidence with one post more, whose normalised `hashtags` are distinct.

    The model and the counts are changed in place; vocabularies and profiles grow by the user
    and the hashtags that are new.
    """
    model = check_observes(run)
    users = [] if user is None or run.users.id_of(user) >= 0 else [user]
    tags = [tag for tag in hashtags if run.hashtags.id_of(tag) < 0]
    if users or tags:
        model.grow(len(users), tags)
        run = replace(
            run,
            users=run.users.grown(users),
            hashtags=run.hashtags.grown(tags),
            profiles=longer(run.profiles, len(run.users) + len(users)),
        )
    user_id, ids = run.users.id_of(user), [run.hashtags.id_of(tag) for tag in hashtags]
    fields = longer(run.profiles, len(run.users) + 1)[user_id]  # of nobody: the last row, zeros
    posts = post_of(run, user_id, values, text, about, fields)
    carried = Ragged(torch.tensor(ids, dtype=torch.int64), torch.tensor([0, len(ids)]))
    model.observe(posts.to(model.device), carried.to(model.device))
    run.hashtags.counts[ids] += 1
    if user_id >= 0:
        run.users.counts[user_id] += 1
    return run, evidence.with_post(name, user_id, ids, text, posts)
