"""One model and settings to vary in; its quality by each of them, as plots and tables, out.

OUT/points/<setting>-<value>-.../    a comparison a point; finished ones are kept

A point that two sweeps share is fitted once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from reeltag.data.splits import open_split
from reeltag.errors import ReelTagError, RunError
from reeltag.experiments.compare import compare
from reeltag.experiments.facts import facts_of
from reeltag.experiments.order import Order, features_read
from reeltag.experiments.outcomes import Outcome
from reeltag.experiments.page import Page
from reeltag.experiments.papers.procedure import Sweep
from reeltag.experiments.plots import Plot, bare_axes, both, matplotlib_figure
from reeltag.experiments.report import fact_lines, write_page
from reeltag.experiments.tables import (
    PROTOCOLS,
    Cell,
    Row,
    Table,
    settings_lines,
    spread_cell,
    unit_of,
)
from reeltag.progress import say
from reeltag.training.settings import divide_settings

_HEADINGS = {"precision": "P", "recall": "R", "f1": "F1", "ndcg": "NDCG"}
_COLOURS = {"light": ("#173f5f", "#3f8f8b", "#d08a10"), "dark": ("#6ea8fe", "#5fc9b8", "#f2c14e")}
_WORDS = {"light": "#1f2328", "dark": "#e6e8eb"}

Points = dict[float, Outcome]
"""By the value of the setting that a sweep varies."""


@dataclass(frozen=True)
class Swept:
    """What one sweep found."""

    sweep: Sweep
    points: Points
    failures: dict[float, str]

    def as_json(self) -> dict[str, Any]:
        """Every point with everything about it."""
        return {
            "setting": self.sweep.setting,
            "symbol": self.sweep.symbol,
            "points": [{"value": at, **found.as_json()} for at, found in self.points.items()],
            "failed": [{"value": at, "reason": why} for at, why in self.failures.items()],
        }


def show_sweeps(order: Order) -> dict[str, Any]:
    """Fit the procedure's model at every point, write the page; returns `report.json`'s object."""
    (model,) = order.procedure.models
    given = order.plan().settings[model]
    config, training, _ = divide_settings(model, given)
    sweeps = order.procedure.sweeps
    usual = {**training.model_dump(), **config.model_dump()}
    base = {sweep.setting: usual[sweep.setting] for sweep in sweeps}
    done: dict[str, Outcome | str] = {}
    found = []
    for sweep in sweeps:
        points: Points = {}
        failures: dict[float, str] = {}
        for value in sweep.values:
            at = {**base, sweep.setting: value}
            name = "-".join(f"{key}-{number}" for key, number in at.items())
            if name not in done:
                say(f"{model} with {', '.join(f'{k}={v}' for k, v in at.items())}")
                done[name] = _fit(order, model, {**given, **at}, name)
            outcome = done[name]
            if isinstance(outcome, str):
                failures[value] = outcome
            else:
                points[value] = outcome
        found.append(Swept(sweep, points, failures))
    if not any(each.points for each in found):
        raise ReelTagError(f"No point could be fitted. {next(iter(done.values()))}")
    return _write(order, found, base)


def _fit(order: Order, model: str, settings: dict[str, Any], name: str) -> Outcome | str:
    """The outcome of one point, or why there is none."""
    try:
        plan = replace(order.plan(), settings={model: settings})
        made = compare(order.dataset, plan, order.out / "points" / name, command=order.command)
    except RunError:  # the folder holds something else: nobody's result
        raise
    except ReelTagError as fault:
        return str(fault)
    return made.outcomes[model]


def _write(order: Order, found: list[Swept], base: dict[str, float]) -> dict[str, Any]:
    plan, metrics = order.plan(), _metrics(order)
    fixed = ", ".join(f"{each.symbol} = {base[each.setting]}" for each in order.procedure.sweeps)
    lead = (
        *order.procedure.lead,
        f"Each point differs from {fixed} in one number at most. Judged on the test part, as the "
        "paper did: to choose a setting, use reeltag tune, which never reads that part.",
        features_read(order.dataset, plan, plan.models),
    )
    parts: list[Plot | Table] = []
    for each in found:
        if each.points:
            shown = [_table(each, metrics, at, len(plan.seeds)) for at in plan.protocols]
            parts += [_plot(each, metrics, plan.protocols[0]), *shown]
    left = [
        (f"left out: {each.sweep.symbol} = {value}", why)
        for each in found
        for value, why in each.failures.items()
    ]
    any_point = next(outcome for each in found for outcome in each.points.values())
    facts = facts_of(order.dataset, open_split(order.dataset, order.split), order.command)
    settings = "; ".join(
        line
        for line in settings_lines(any_point)
        if line.partition(" = ")[0].removeprefix("training.") not in base
    )
    lines = (
        *fact_lines(facts),
        ("seeds", ", ".join(map(str, plan.seeds))),
        (f"settings of {any_point.model}", settings),
        *left,
    )
    page = Page(order.title, tuple(text for text in lead if text), tuple(parts), lines)
    values = {
        "procedure": order.procedure.name,
        "title": order.title,
        "model": any_point.model,
        "base": base,
        "seeds": list(plan.seeds),
        "sweeps": [each.as_json() for each in found],
        **facts,
    }
    write_page(page, order.out, values)
    return values


def _metrics(order: Order) -> dict[str, str]:
    """Our names of the metrics to the paper's."""
    k = max(order.procedure.tops)
    return {f"{name}@{k}": f"{_HEADINGS[name]}@{k}" for name in order.procedure.metrics}


def _table(swept: Swept, metrics: dict[str, str], protocol: str, seeds: int) -> Table:
    points = swept.points
    found = {
        m: {value: outcome.results[protocol].metrics[m] for value, outcome in points.items()}
        for m in metrics
    }
    best = {
        m: max(spreads, key=lambda value, s=spreads: s[value].mean)  # type: ignore[misc]
        for m, spreads in found.items()
    }
    rows = tuple(
        Row(
            str(value),
            (
                *(
                    spread_cell(spreads[value], best=best[m] == value)
                    for m, spreads in found.items()
                ),
                Cell(f"{outcome.parameters:,}"),
                Cell(f"{outcome.fit_seconds.mean:,.1f}"),
            ),
        )
        for value, outcome in points.items()
    )
    first = next(iter(points.values())).results[protocol]
    notes = [
        f"{PROTOCOLS[protocol].capitalize()}: {first.hashtags:,} hashtags, {first.posts:,} test "
        f"{unit_of(protocol)}. Bold: the best mean, which need not be better than the next by "
        "more than chance."
    ]
    if seeds > 1:
        notes.append(f"±: standard deviation over {seeds} seeds.")
    symbol = swept.sweep.symbol
    return Table(
        f"Quality by {symbol} ({swept.sweep.setting}), {protocol}",
        symbol,
        (*metrics.values(), "parameters", "fit, s"),
        rows,
        tuple(notes),
    )


def _plot(swept: Swept, metrics: dict[str, str], protocol: str) -> Plot:
    values, symbol = list(swept.points), swept.sweep.symbol
    found = {m: [o.results[protocol].metrics[m] for o in swept.points.values()] for m in metrics}

    def draw(ink: str) -> Any:
        figure = matplotlib_figure()(figsize=(7.2, 3.4), layout="constrained")
        axes = bare_axes(figure, ink, grid="y")
        for number, (metric, spreads) in enumerate(found.items()):
            axes.errorbar(values, [s.mean for s in spreads], [s.deviation for s in spreads],
                          color=_COLOURS[ink][number], marker="o", markersize=5.5, linewidth=1.8,
                          capsize=3, label=metrics[metric])  # fmt: skip
        if swept.sweep.scale == "powers":
            axes.set_xscale("log", base=2)
        axes.set_xticks(values, [str(value) for value in values])
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"{symbol} ({swept.sweep.setting})", color=_WORDS[ink], fontsize=9)
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9,
                      labelcolor=_WORDS[ink])  # fmt: skip
        return figure

    spoken = "; ".join(
        f"{metrics[metric]}: "
        + ", ".join(f"{v} {s.mean:.4f}" for v, s in zip(values, spreads, strict=True))
        for metric, spreads in found.items()
    )
    light, dark = both(draw)
    title = f"Quality by {symbol}, mean and standard deviation over seeds"
    name = f"sweep-{swept.sweep.setting}"
    return Plot(name, title, f"Lines of quality by {symbol}. {spoken}.", light, dark)
