"""A comparison in, its plots as PNG bytes out, in ink for light paper and for dark paper."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from reeltag.errors import MissingExtraError
from reeltag.experiments.compare import Comparison
from reeltag.experiments.outcomes import Spread

LIGHT, DARK = "light", "dark"
_INK = {LIGHT: "#1f2328", DARK: "#e6e8eb"}
_SOFT = {LIGHT: "#6b7078", DARK: "#9aa1ab"}
_GRID = {LIGHT: "#dfe2e6", DARK: "#3a3f47"}
_ACCENT = {LIGHT: "#0b6e4f", DARK: "#4cc38a"}
_PLAIN = {LIGHT: "#5b7fb5", DARK: "#7aa2e3"}
_GROUPS = {
    LIGHT: ("#173f5f", "#3f8f8b", "#e0a030", "#c0563b"),
    DARK: ("#6ea8fe", "#5fc9b8", "#f2c14e", "#f08a6c"),
}
_POPULARITIES = {
    "popular": "popular (> 27 uses)",
    "relative": "relative (10-27)",
    "unpopular": "unpopular (1-9)",
    "unseen": "unseen (0)",
}
_DPI = 160


@dataclass(frozen=True)
class Plot:
    """One picture twice, and what it shows in words."""

    name: str
    title: str
    alt: str
    light: bytes
    dark: bytes


def matplotlib_figure() -> Any:
    """Matplotlib's `Figure` class, which draws without a display.

    Raises `MissingExtraError` without Matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Matplotlib, which draws the plots,", "report") from None
    return Figure


def plots_of(found: Comparison) -> list[Plot]:
    """The plots of a report."""
    return [_headline_plot(found), _popularity_plot(found), _history_plot(found)]


def both(draw: Callable[[str], Any]) -> tuple[bytes, bytes]:
    """What `draw(ink)` draws, for light and for dark paper."""
    return png(draw(LIGHT)), png(draw(DARK))


def png(figure: Any, **options: Any) -> bytes:
    """A figure as PNG, without the date and version that would make equal pictures differ."""
    stream = io.BytesIO()
    with quiet_glyphs():
        figure.savefig(
            stream, format="png", dpi=_DPI, metadata={"Software": None},
            **{"transparent": True, **options},
        )  # fmt: skip
    return stream.getvalue()


@contextmanager
def quiet_glyphs() -> Iterator[None]:
    """Letters that no font here has become boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def bare_axes(figure: Any, ink: str, grid: str = "x") -> Any:
    """Axes without a frame, in the given ink."""
    axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID[ink])
    axes.tick_params(colors=_SOFT[ink], length=0, labelsize=9)
    axes.grid(axis=grid, color=_GRID[ink], linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _headline_plot(found: Comparison) -> Plot:
    """Mean and interval of the headline metric, best model on top."""
    protocol, metric = "full", found.metric
    contrasts = found.contrasts[protocol]
    means = {n: o.results[protocol].metrics[metric].mean for n, o in found.outcomes.items()}
    order = sorted(means, key=lambda name: means[name])

    def draw(ink: str) -> Any:
        figure = matplotlib_figure()(figsize=(7.2, 0.9 + 0.42 * len(order)), layout="constrained")
        axes = bare_axes(figure, ink)
        for place, name in enumerate(order):
            low, high = contrasts.intervals[name]
            colour = (_ACCENT if name == contrasts.best[metric] else _PLAIN)[ink]
            axes.plot([low, high], [place, place], color=colour, linewidth=2.4,
                      solid_capstyle="round", alpha=0.75)  # fmt: skip
            seeds = found.outcomes[name].results[protocol].metrics[metric].values
            if len(seeds) > 1:
                axes.plot(seeds, [place] * len(seeds), "|", color=_SOFT[ink], markersize=9)
            axes.plot([means[name]], [place], "o", color=colour, markersize=7.5)
            axes.annotate(f"{means[name]:.3f}", (high, place), xytext=(7, 0), va="center",
                          textcoords="offset points", color=_INK[ink], fontsize=9)  # fmt: skip
        axes.set_yticks(range(len(order)), order, color=_INK[ink], fontsize=10)
        axes.set_ylim(-0.6, len(order) - 0.4)
        axes.set_xlabel(f"{metric}, full ranking", color=_SOFT[ink], fontsize=9)
        axes.margins(x=0.1)
        return figure

    spoken = ", ".join(
        f"{name} {means[name]:.4f} (interval {contrasts.intervals[name][0]:.4f} to "
        f"{contrasts.intervals[name][1]:.4f})"
        for name in reversed(order)
    )
    light, dark = both(draw)
    return Plot(
        "headline",
        f"{metric} in the full ranking, with 95 % bootstrap intervals over posts"
        + ("; ticks: single seeds" if len(found.plan.seeds) > 1 else ""),
        f"Dot plot of {metric}: {spoken}.",
        light,
        dark,
    )


def _popularity_plot(found: Comparison) -> Plot:
    """Recall by popularity of the hashtag: a group of bars a model."""
    recall = f"recall@{max(found.plan.tops)}"
    results = {name: outcome.results["full"] for name, outcome in found.outcomes.items()}
    return _bars(
        found,
        "popularity",
        recall,
        f"{recall} by popularity of the hashtag in training (full ranking)",
        {name: result.by_popularity for name, result in results.items()},
        _POPULARITIES,
    )


def _history_plot(found: Comparison) -> Plot:
    """NDCG by the training posts of the user: a group of bars a model."""
    k = max(found.plan.tops)
    results = {name: outcome.results["full"] for name, outcome in found.outcomes.items()}
    return _bars(
        found,
        "history",
        f"ndcg@{k}",
        f"NDCG@{k} by how many posts the user had in training (full ranking)",
        {name: result.by_history for name, result in results.items()},
        {group: f"{group} posts" for group in next(iter(results.values())).by_history},
    )


def _bars(
    found: Comparison,
    plot: str,
    metric: str,
    title: str,
    values: Mapping[str, Mapping[str, Mapping[str, Spread]]],
    labels: Mapping[str, str],
) -> Plot:
    """One metric of each model (model, group, metric), a bar a group that has posts."""
    means = {
        name: o.results["full"].metrics[found.metric].mean for name, o in found.outcomes.items()
    }
    names = sorted(values, key=lambda name: -means[name])
    first = values[names[0]]
    groups = [group for group in first if first[group]["posts"].mean]
    width = 0.78 / len(groups)

    def draw(ink: str) -> Any:
        figure = matplotlib_figure()(
            figsize=(max(7.2, 1.1 + 0.8 * len(names)), 3.3), layout="constrained"
        )
        axes = bare_axes(figure, ink, grid="y")
        for number, group in enumerate(groups):
            found_here = [values[name][group][metric] for name in names]
            shift = (number - (len(groups) - 1) / 2) * width
            places = [place + shift for place in range(len(names))]
            deviations = [spread.deviation for spread in found_here]
            axes.bar(places, [spread.mean for spread in found_here], 0.92 * width,
                     color=_GROUPS[ink][number], label=labels[group])  # fmt: skip
            if any(deviations):
                axes.errorbar(places, [spread.mean for spread in found_here], deviations,
                              fmt="none", ecolor=_SOFT[ink], elinewidth=1.2)  # fmt: skip
        slanted = len(names) > 6
        axes.set_xticks(
            range(len(names)), names, color=_INK[ink], fontsize=9.5,
            rotation=30 if slanted else 0, ha="right" if slanted else "center",
        )  # fmt: skip
        axes.set_ylabel(metric, color=_SOFT[ink], fontsize=9)
        figure.legend(loc="outside upper left", ncols=len(groups), frameon=False, fontsize=9,
                      labelcolor=_INK[ink])  # fmt: skip
        return figure

    spoken = "; ".join(
        f"{name}: " + ", ".join(f"{g} {values[name][g][metric].mean:.3f}" for g in groups)
        for name in names
    )
    light, dark = both(draw)
    return Plot(plot, title, f"Bars of {title}. {spoken}.", light, dark)
