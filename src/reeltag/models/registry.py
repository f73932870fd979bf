"""Every model by its name: the one list that the command line, tests and docs read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from reeltag.errors import ConfigError
from reeltag.models.blend import Blend
from reeltag.models.bll import Bll
from reeltag.models.caption_words import CaptionWords
from reeltag.models.content_knn import ContentKnn
from reeltag.models.context import Context
from reeltag.models.contract import Model, ModelConfig, Sizes
from reeltag.models.ease import Ease
from reeltag.models.house import House
from reeltag.models.own_knn import OwnKnn
from reeltag.models.popularity import Popularity
from reeltag.models.related import Related
from reeltag.models.ridge import Ridge
from reeltag.models.tag_meaning import TagMeaning
from reeltag.models.tag_names import TagNames
from reeltag.models.text_knn import TextKnn
from reeltag.models.trained import TRAINED, Entry
from reeltag.models.user_history import UserHistory

REGISTRY: dict[str, Entry] = {
    **TRAINED,
    "popularity": Entry(Popularity, "rule: most used overall"),
    "user-history": Entry(UserHistory, "rule: most used by the user, then overall"),
    "content-knn": Entry(ContentKnn, "rule: hashtags of the most similar posts"),
    "bll": Entry(Bll, "Kowald et al., 2017: used often and lately by the user"),
    "caption-words": Entry(CaptionWords, "rule: hashtags that went with the caption's words"),
    "context": Entry(Context, "rule: hashtags that went with the music, the place and the hour"),
    "text-knn": Entry(TextKnn, "rule: hashtags of the posts with the most similar captions"),
    "own-knn": Entry(OwnKnn, "rule: hashtags of the user's own most similar posts"),
    "tag-names": Entry(TagNames, "rule: hashtags whose names the caption spells"),
    "tag-meaning": Entry(TagMeaning, "rule: hashtags whose names and posts mean the same"),
    "related": Entry(Related, "rule: used by the user, on similar captions, and what goes with it"),
    "ease": Entry(Ease, "Steck, WWW 2019: EASE, over users' hashtags"),
    "ridge": Entry(Ridge, "Saunders et al., ICML 1998: kernel ridge, of caption, user and content"),
    "blend": Entry(Blend, "rule: user history, similar posts and caption words, weighted"),
    "reeltag": Entry(House, "the house model: a stack of the scorers above"),
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
    """A new, unfitted model from settings."""
    return make(name, config_of(name, settings), sizes)


def make(name: str, config: ModelConfig, sizes: Sizes) -> Model:
    """A new, unfitted model that goes by its registered name (a variant by the variant's)."""
    model = entry_of(name).model(config, sizes)
    model.name = name
    return model


def readable(fault: ValidationError, what: str) -> str:
    """A pydantic complaint as one sentence a setting."""
    lines = []
    for error in fault.errors():
        key = ".".join(str(part) for part in error["loc"])
        lines.append(f"setting {key!r} of {what}: got {error['input']!r}; {error['msg']}.")
    return " ".join(lines)
