"""Models' names, seeds and settings in; every job of a comparison, its settings and folder out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reeltag.data.corpus import choose_features
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, open_split
from reeltag.errors import ConfigError, RunError
from reeltag.evaluation.protocols import Protocol
from reeltag.models.contract import Trained
from reeltag.models.registry import entry_of
from reeltag.training.config import TrainingConfig
from reeltag.training.description import read_description
from reeltag.training.settings import divide_settings, read_settings


@dataclass(frozen=True)
class Plan:
    """What is compared, and how."""

    models: tuple[str, ...]
    split: str = "main"
    seeds: tuple[int, ...] = (0,)
    protocols: tuple[Protocol, ...] = ("full",)
    """The first one is what the comparison was asked for."""
    tops: tuple[int, ...] = (5, 10)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By model."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.models or not self.seeds or len(set(self.models)) < len(self.models):
            raise ConfigError(
                f"Got models {', '.join(self.models) or 'none'} and {len(self.seeds)} seeds, "
                "expected different models and at least one seed."
            )
        for name in self.models:
            divide_settings(name, self.settings.get(name, {}))

    def jobs(self) -> list[tuple[str, int]]:
        """Every (model, seed) that is fitted; a model that only counts is fitted once."""
        return [(name, seed) for name in self.models for seed in self.seeds_of(name)]

    def seeds_of(self, model: str) -> tuple[int, ...]:
        """The seeds a model is fitted with."""
        return self.seeds if entry_of(model).model.seeded else self.seeds[:1]


def run_path(out: Path, model: str, seed: int) -> Path:
    """Where the run of a model and a seed lies."""
    return out / "runs" / f"{model}-{seed}"


def settings_of(plan: Plan, model: str, seed: int) -> dict[str, Any]:
    """Everything `train_run` is told for one job."""
    return {**plan.settings.get(model, {}), "seed": seed}


def protocols_of(asked: Protocol) -> tuple[Protocol, ...]:
    """The protocol asked for, and full ranking, which every report gives."""
    return ("full",) if asked == "full" else (asked, "full")


def read_configs(models: Sequence[str], pairs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read `MODEL=FILE.toml` pairs. Raises `ConfigError` for a model that does not take part."""
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        model, equals, file = pair.partition("=")
        if not equals or model not in models:
            raise ConfigError(
                f"Got --config {pair!r}, expected MODEL=FILE.toml with a model of: "
                f"{', '.join(models)}."
            )
        found[model] = read_settings(Path(file), [])
    return found


def assign_settings(
    models: Sequence[str],
    pairs: Mapping[str, Any],
    configs: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Give `MODEL.KEY` to its model and a bare `KEY` to every model that has it.

    They go before the models' own `configs`; a seed in these is left out.
    Raises `ConfigError` for a model that does not take part or a key that none has.
    """
    configs = configs or {}
    given: dict[str, dict[str, Any]] = {
        name: {k: v for k, v in configs.get(name, {}).items() if k != "seed"} for name in models
    }
    own: dict[str, dict[str, Any]] = {name: {} for name in models}
    for key, value in pairs.items():
        model, dot, short = key.rpartition(".")
        if (short if dot else key) == "seed":
            raise ConfigError(f"Got --set {key}, but seeds are chosen with --seeds N.")
        if dot:
            if model not in own:
                raise ConfigError(
                    f"Got --set {key}, but {model!r} does not take part; "
                    f"expected one of {', '.join(models)}."
                )
            own[model][short] = value
            continue
        takers = [name for name in models if key in _keys(name)]
        if not takers:
            raise ConfigError(f"Got --set {key}, which none of {', '.join(models)} has.")
        for name in takers:
            given[name][key] = value
    return {name: {**given[name], **own[name]} for name in models}


def _keys(model: str) -> set[str]:
    entry = entry_of(model)
    trained = set(TrainingConfig.model_fields) if issubclass(entry.model, Trained) else set()
    return {*entry.model.Config.model_fields, *trained, "features"}


def check_stored(dataset: Dataset, plan: Plan, name: str, seed: int, path: Path) -> None:
    """Raise `RunError` for a finished run at `path` that this plan would not make."""
    if not (path / "run.toml").is_file():
        return
    stored = read_description(path)
    config, training, features = divide_settings(name, settings_of(plan, name, seed))
    recipe = open_split(dataset, plan.split).recipe
    chosen = [
        feature.name for feature in choose_features(dataset, features, entry_of(name).model.reads)
    ]
    expected = {
        "model": name,
        "settings": _plain(config.model_dump()),
        "training": _plain(training.model_dump()),
        "features": sorted(chosen),
        "posts": dataset.description["sha256"]["posts.parquet"],
        "split": (plan.split, recipe),
    }
    found = {
        "model": stored["model"],
        "settings": stored["settings"],
        "training": stored["training"],
        "features": sorted(feature["name"] for feature in stored["features"]),
        "posts": stored["dataset"]["sha256"]["posts.parquet"],
        "split": (stored["split"]["name"], SplitRecipe.of(stored["split"])),
    }
    other = [key for key in expected if expected[key] != found[key]]
    if other:
        raise RunError(
            f"{path} was made with other {', '.join(other)}. "
            "Choose another --out, or remove that folder."
        )


def _plain(values: dict[str, Any]) -> Any:
    """As a TOML file gives them back: no None, lists for tuples."""
    return json.loads(json.dumps({k: v for k, v in values.items() if v is not None}))
