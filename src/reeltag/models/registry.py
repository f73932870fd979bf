"""Every model by its name: the one list that the command line, tests and docs read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from reeltag.errors import ConfigError
from reeltag.models.content_knn import ContentKnn
from reeltag.models.contract import Model, ModelConfig, Sizes
from reeltag.models.gcn_phr import GcnPhr
from reeltag.models.popularity import Popularity
from reeltag.models.user_history import UserHistory


@dataclass(frozen=True)
class Entry:
    """A registered name: the class behind it and the settings it presets."""

    model: type[Model]
    source: str
    """Paper or rule it comes from."""
    preset: Mapping[str, Any] = field(default_factory=dict)


REGISTRY: dict[str, Entry] = {
    "gcn-phr": Entry(GcnPhr, "Wei et al., ACM MM 2019"),
    "popularity": Entry(Popularity, "rule: most used overall"),
    "user-history": Entry(UserHistory, "rule: most used by the user, then overall"),
    "content-knn": Entry(ContentKnn, "rule: hashtags of the most similar posts"),
}


def entry_of(name: str) -> Entry:
    """The entry named `name`. Raises `ConfigError` listing the valid names."""
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"Got model {name!r}, expected one of {', '.join(REGISTRY)}.{hint}")
    return REGISTRY[name]


def config_of(name: str, settings: Mapping[str, Any]) -> ModelConfig:
    """The model's settings: its preset, overridden by `settings`."""
    entry = entry_of(name)
    try:
        return entry.model.Config(**{**entry.preset, **settings})
    except ValidationError as fault:
        raise ConfigError(readable(fault, f"model {name}")) from fault


def build(name: str, settings: Mapping[str, Any], sizes: Sizes) -> Model:
    """A new, unfitted model."""
    return entry_of(name).model(config_of(name, settings), sizes)


def readable(fault: ValidationError, what: str) -> str:
    """A pydantic complaint as one sentence a setting."""
    lines = []
    for error in fault.errors():
        key = ".".join(str(part) for part in error["loc"])
        lines.append(f"setting {key!r} of {what}: got {error['input']!r}; {error['msg']}.")
    return " ".join(lines)
