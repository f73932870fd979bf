"""TOML file and `--set KEY=VALUE` in, settings of the model and of its training out."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reeltag.errors import ConfigError
from reeltag.models.contract import ModelConfig, Trained
from reeltag.models.registry import config_of, entry_of, readable
from reeltag.storage import read_toml
from reeltag.training.config import TrainingConfig


def read_settings(config: Path | None, pairs: Sequence[str]) -> dict[str, Any]:
    """Settings of a TOML file (tables [model] and [training], or flat), then of `--set`."""
    settings: dict[str, Any] = {}
    if config is not None:
        if not config.is_file():
            raise ConfigError(f"Got --config {config}, which does not exist.")
        stored = read_toml(config, ConfigError)
        settings.update({k: v for k, v in stored.items() if k not in {"model", "training"}})
        settings.update({**stored.get("model", {}), **stored.get("training", {})})
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"Got --set {pair!r}, expected KEY=VALUE such as dim=32.")
        settings[key.strip()] = _value(value.strip())
    return settings


def divide_settings(
    model: str, settings: Mapping[str, Any]
) -> tuple[ModelConfig, TrainingConfig, list[str] | None]:
    """Give each setting to the model or to its training, by name; a seed to both.

    `features` (a list, or names with commas) chooses what the model reads.
    Raises `ConfigError` for a name neither has, with the nearest one that exists.
    """
    entry = entry_of(model)
    rest = dict(settings)
    features = rest.pop("features", None)
    if isinstance(features, str):
        features = [name.strip() for name in features.split(",")]
    own = {key: rest.pop(key) for key in list(rest) if key in entry.model.Config.model_fields}
    training = {key: rest.pop(key) for key in list(rest) if key in TrainingConfig.model_fields}
    training |= {"seed": own["seed"]} if "seed" in own else {}
    if rest:
        known = [*entry.model.Config.model_fields, *TrainingConfig.model_fields, "features"]
        key = next(iter(rest))
        near = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"Got setting {key!r}, which {model} does not have; it has: {', '.join(known)}.{hint}"
        )
    defaults = entry.model.training_defaults if issubclass(entry.model, Trained) else {}
    try:
        trained = TrainingConfig(**{**defaults, **training})
    except ValidationError as fault:
        raise ConfigError(readable(fault, "training")) from fault
    return config_of(model, own), trained, features


def _value(text: str) -> Any:
    """A value written as TOML, or else plain text."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
