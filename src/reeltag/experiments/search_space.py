"""A model's name in; which of its settings a search varies, and over what, out.

Ranges come from an explicit table where a setting's useful range is known, else from the
setting itself: a Literal's values, both bounds of a number, or a span around its default.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from reeltag.models.contract import Trained
from reeltag.models.registry import REGISTRY, entry_of
from reeltag.training.config import TrainingConfig


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Span:
    """A number from low to high; whole where `whole`, drawn evenly in its logarithm where `log`."""

    low: float
    high: float
    whole: bool = False
    log: bool = False


Range = Choice | Span

TRAINING: dict[str, Range] = {
    "learning_rate": Span(1e-4, 1e-2, log=True),
    "weight_decay": Choice((0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)),
    "batch_size": Choice((128, 256, 512, 1024)),
}
"""Varied for every trained model; everything else of its training stays as it is."""

COMMON: dict[str, Range] = {
    "dim": Choice((32, 64, 128)),
    "layers": Span(1, 3, whole=True),
    "dropout": Span(0.0, 0.6),
}
"""Settings of models by name, where a model's own table does not say otherwise."""

MODELS: dict[str, dict[str, Range | None]] = {
    # How its weights are searched is no quality of it.
    "blend": {"steps": None, "select": None},
    "content-knn": {"neighbours": Span(5, 400, whole=True, log=True)},
    # The grids of Wei et al. §4.1, the step size continuous.
    "gcn-phr": {
        "weight_decay": Choice((0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)),
        "batch_size": Choice((128, 256, 512)),
        "layers": Span(1, 2, whole=True),
        # What tells its variants apart, and what trades exactness for speed.
        "post_attention": None,
        "user_guided": None,
        "hashtag_guided": None,
        "neighbours": None,
        "projections": None,
        "half_features": None,
    },
    # How large a table is kept, and which posts are drawn, is a matter of cost.
    "ease": {"regularisation": Span(0.1, 1000.0, log=True), "power": Span(0.1, 1.0), "most": None},
    "ridge": {"exact": None, "landmarks": None},
    # Its trees learn on the validation posts, which therefore cannot judge them.
    "reeltag": {
        "candidates": None,
        "rounds": None,
        "leaves": None,
        "learning_rate": None,
        "least_rows": None,
    },
    # A batch is of posts, not of triples; widths are the paper's.
    "co-attention": {"batch_size": Choice((64, 128, 256)), "attention": None},
    "eastern": {
        "batch_size": Choice((64, 128, 256)),
        "hidden_visual": None,
        "hidden_acoustic": None,
        "hidden_textual": None,
    },
    "rsdae": {"batch_size": Choice((64, 128, 256)), "layers": Span(0, 2, whole=True)},
    "trumann": {"batch_size": Choice((64, 128, 256))},
    "logo": {
        "batch_size": Choice((64, 128, 256)),
        "hidden_visual": None,
        "hidden_acoustic": None,
        "hidden_textual": None,
        "attention": None,
        "interaction": None,
        "alternate": None,
    },
}
"""A model's own ranges, None for what is not varied; a variant named `<model>-...` takes those
of its model."""


def search_space(model: str, fixed: Mapping[str, Any]) -> dict[str, Range]:
    """What a search over `model` varies, by setting.

    Left out: `fixed` settings, those that tell the variants of a model apart (what any entry of
    the same class presets), and those whose range cannot be told from them.
    """
    entry = entry_of(model)
    trained = issubclass(entry.model, Trained)
    own = _own(model)
    telling = {key for other in REGISTRY.values() if other.model is entry.model
               for key in other.preset}  # fmt: skip
    space: dict[str, Range] = {}
    for name, info in entry.model.Config.model_fields.items():
        found = own[name] if name in own else COMMON.get(name) or range_of(info)
        if found is not None and name not in telling:
            space[name] = found
    if trained:
        varied = {name: own.get(name, usual) for name, usual in TRAINING.items()}
        space |= {name: found for name, found in varied.items() if found is not None}
    return {name: found for name, found in space.items() if name not in fixed}


def is_training(name: str) -> bool:
    """Whether a setting is one of training rather than of the model."""
    return name in TrainingConfig.model_fields


def range_of(info: FieldInfo) -> Range | None:
    """The range a setting's own type, bounds and default give; None where they give none."""
    kind = info.annotation
    if typing.get_origin(kind) is Literal:
        return Choice(typing.get_args(kind))
    if kind is bool:
        return Choice((False, True))
    if kind not in (int, float) or info.default is None:
        return None
    low, high = _bounds(info, whole=kind is int)
    if low is not None and high is not None:
        return Span(low, high, whole=kind is int)
    default = float(info.default) if isinstance(info.default, int | float) else 0.0
    if default <= 0:
        return None
    factor = 4 if kind is int else 10
    least = max(default / factor, low if low is not None else 0.0, 1.0 if kind is int else 0.0)
    most = default * factor if high is None else min(default * factor, high)
    if kind is int:
        least, most = round(least), round(most)
    return Span(least, most, whole=kind is int, log=True) if least < most else None


def _bounds(info: FieldInfo, whole: bool) -> tuple[float | None, float | None]:
    low: float | None = None
    high: float | None = None
    for rule in info.metadata:
        # An open end is kept out by a step of 1, or by a thousandth of nothing.
        step = 1.0 if whole else 1e-3
        if isinstance(rule, Ge):
            low = float(rule.ge)  # type: ignore[arg-type]
        elif isinstance(rule, Gt):
            low = float(rule.gt) + step  # type: ignore[arg-type]
        elif isinstance(rule, Le):
            high = float(rule.le)  # type: ignore[arg-type]
        elif isinstance(rule, Lt):
            high = float(rule.lt) - step  # type: ignore[arg-type]
    return low, high


def _own(model: str) -> dict[str, Range | None]:
    base = max(
        (name for name in MODELS if model == name or model.startswith(f"{name}-")),
        key=len,
        default="",
    )
    return MODELS.get(base, {})
