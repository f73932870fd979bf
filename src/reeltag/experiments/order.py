"""A paper's procedure with the dataset and options it was asked for with; its plan out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reeltag.data.corpus import choose_features
from reeltag.data.dataset import Dataset
from reeltag.experiments.papers.procedure import Procedure
from reeltag.experiments.plan import Plan, assign_settings, protocols_of, read_configs
from reeltag.models.blend import Blend
from reeltag.models.registry import entry_of
from reeltag.training.settings import divide_settings


@dataclass(frozen=True)
class Order:
    """What `reeltag reproduce` was asked for."""

    procedure: Procedure
    dataset: Dataset
    out: Path
    split: str = "main"
    seeds: tuple[int, ...] = (0, 1, 2)
    pairs: Mapping[str, Any] = field(default_factory=dict)
    """Settings as `--set` has them, by `MODEL.KEY` or bare `KEY`."""
    configs: Sequence[str] = ()
    """`MODEL=FILE.toml` each."""
    users: Sequence[str] = ()
    """Whose posts a figure of posts shows."""
    device: str = "auto"
    command: str = ""

    @property
    def title(self) -> str:
        """The report's."""
        return f"{self.procedure.title}, on {self.dataset.path.name}"

    def settings(self) -> dict[str, dict[str, Any]]:
        """Each model's settings: the procedure's own, then what was asked for."""
        models = self.procedure.models
        asked = assign_settings(models, self.pairs, read_configs(models, self.configs))
        own = self._visual() if self.procedure.one_modality else {}
        return {model: {**own.get(model, {}), **asked[model]} for model in models}

    def plan(self, seeds: Sequence[int] | None = None) -> Plan:
        """What is compared, judged as the paper did and by full ranking."""
        procedure = self.procedure
        return Plan(
            models=procedure.models,
            split=self.split,
            seeds=tuple(self.seeds if seeds is None else seeds),
            protocols=protocols_of(procedure.protocol),
            tops=procedure.tops,
            settings=self.settings(),
            device=self.device,
        )

    def _visual(self) -> dict[str, dict[str, Any]]:
        """`features=visual` for models of vectors, where there are a grid and visual vectors."""
        found = self.dataset.features.values()
        if not any(manifest.kind == "grid" for manifest in found) or not any(
            manifest.kind == "vector" and manifest.modality == "visual" for manifest in found
        ):
            return {}
        return {
            model: {"features": "visual"}
            for model in self.procedure.models
            if entry_of(model).model.reads == "vector"
        }


def features_read(dataset: Dataset, plan: Plan, models: Iterable[str]) -> str:
    """A sentence that says which features each of these models of a plan reads."""
    readers: dict[tuple[str, ...], list[str]] = {}
    for model in models:
        kind = entry_of(model).model
        if not kind.needs_features and kind is not Blend:
            continue
        features = divide_settings(model, plan.settings.get(model, {}))[2]
        names = tuple(feature.name for feature in choose_features(dataset, features, kind.reads))
        readers.setdefault(names, []).append(model)
    said = [f"{', '.join(who)}: {', '.join(names) or 'none'}" for names, who in readers.items()]
    return f"Features that are read: {'; '.join(said)}." if said else ""
