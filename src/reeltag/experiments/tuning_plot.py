"""The trials of a search in, a picture of their scores by trial and by setting (PNG) out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from reeltag.experiments.plots import matplotlib_figure, png
from reeltag.experiments.search_space import Choice, Range

_INK, _SOFT, _GRID, _DOT, _BEST = "#1f2328", "#6b7078", "#dfe2e6", "#5b7fb5", "#0b6e4f"
_ACROSS = 4


def tuning_plot(
    trials: Sequence[Mapping[str, Any]], space: Mapping[str, Range], metric: str, model: str
) -> bytes:
    """Scores in the order of the trials with the best so far, then against each setting."""
    scored = [trial for trial in trials if trial["value"] is not None]
    rows = 1 + math.ceil(len(space) / _ACROSS)
    figure = matplotlib_figure()(
        figsize=(9.6, 2.6 + 2.3 * (rows - 1)), facecolor="white", layout="constrained"
    )
    grid = figure.add_gridspec(rows, _ACROSS)
    best = max(scored, key=lambda trial: trial["value"])
    axes = _axes(figure, grid[0, :])
    numbers = [trial["number"] + 1 for trial in scored]
    values = [trial["value"] for trial in scored]
    axes.plot(numbers, list(accumulate(values, max)), color=_BEST, linewidth=1.6,
              drawstyle="steps-post", label="best so far")  # fmt: skip
    axes.plot(numbers, values, "o", color=_DOT, markersize=4.5, label="trial")
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("trial", color=_SOFT, fontsize=9)
    axes.set_ylabel(f"validation {metric}", color=_SOFT, fontsize=9)
    axes.set_title(f"Tuning {model}", loc="left", color=_INK, fontsize=11, weight="bold")
    axes.legend(frameon=False, fontsize=8, labelcolor=_SOFT, loc="lower right")
    for place, (name, found) in enumerate(space.items()):
        axes = _axes(figure, grid[1 + place // _ACROSS, place % _ACROSS])
        _against(axes, name, found, scored, best)
    return png(figure, transparent=False)


def _against(
    axes: Any, name: str, found: Range, scored: Sequence[Mapping[str, Any]], best: Mapping[str, Any]
) -> None:
    """Scores against one setting; the best trial stands out."""
    place: Any = lambda value: value  # noqa: E731
    if isinstance(found, Choice):
        place = list(found.values).index
        labels = [str(value) for value in found.values]
        axes.set_xticks(range(len(labels)), labels, rotation=30 if len(labels) > 3 else 0)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    else:
        if found.log:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter("")
            axes.tick_params(which="minor", length=0)
        else:
            axes.locator_params(axis="x", integer=found.whole, nbins=5)
        room = (found.high / found.low) ** 0.05 if found.log else (found.high - found.low) * 0.05
        axes.set_xlim(
            found.low / room if found.log else found.low - room,
            found.high * room if found.log else found.high + room,
        )
    axes.plot([place(trial["settings"][name]) for trial in scored],
              [trial["value"] for trial in scored], "o", color=_DOT, markersize=3.5,
              alpha=0.7)  # fmt: skip
    axes.plot([place(best["settings"][name])], [best["value"]], "o", color=_BEST, markersize=6.5)
    axes.set_title(name, loc="left", color=_INK, fontsize=9)


def _axes(figure: Any, place: Any) -> Any:
    axes = figure.add_subplot(place)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(colors=_SOFT, length=0, labelsize=8)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes
