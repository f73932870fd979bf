"""A dataset in; a page on how often each hashtag is used, natural and balanced, out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.data.filters import apply_filter
from reeltag.data.splits import open_split
from reeltag.errors import ConfigError
from reeltag.experiments.balanced import balance_of, quantiles, uses_of
from reeltag.experiments.facts import facts_of
from reeltag.experiments.order import Order
from reeltag.experiments.page import Page
from reeltag.experiments.plots import Plot, bare_axes, both, matplotlib_figure
from reeltag.experiments.report import fact_lines, write_page
from reeltag.experiments.tables import Cell, Row, Table

_COLOURS = {
    "light": {"natural": "#c0392b", "balanced": "#2f62b5"},
    "dark": {"natural": "#ff8a7a", "balanced": "#7aa2e3"},
}
_WORDS = {"light": "#1f2328", "dark": "#e6e8eb"}

Uses = dict[str, NDArray[np.int64]]


def show_distribution(order: Order) -> dict[str, Any]:
    """Write the page; returns what `report.json` holds. No model is fitted, no split needed."""
    if order.pairs or order.configs:
        raise ConfigError(
            f"{order.procedure.name} fits no model, so --set and --config have nothing to set."
        )
    dataset = order.dataset
    balance = balance_of(dataset, order.procedure.balance_top)
    if balance is None:
        uses: Uses = {"balanced": uses_of(dataset.posts)}
        note = f"{dataset.path.name} is balanced already; its natural uses are not in it."
    else:
        uses = {
            "natural": uses_of(dataset.posts),
            "balanced": uses_of(apply_filter(dataset.posts, balance.rules)),
        }
        note = balance.note
    found = {name: quantiles(counts) for name, counts in uses.items()}
    split = open_split(dataset, order.split) if order.split in dataset.splits else None
    facts = facts_of(dataset, split, order.command)
    lead = (*order.procedure.lead, note, _finding(found))
    page = Page(
        order.title,
        tuple(text for text in lead if text),
        (_plot(uses), _table(found)),
        tuple(fact_lines(facts)),
    )
    values = {
        "procedure": order.procedure.name,
        "title": order.title,
        "note": note,
        "distributions": {
            name: {**found[name], "sorted": counts.tolist()} for name, counts in uses.items()
        },
        **facts,
    }
    write_page(page, order.out, values)
    return values


def _finding(found: dict[str, dict[str, Any]]) -> str:
    if len(found) < 2:
        return ""
    natural, balanced = found["natural"], found["balanced"]
    return (
        f"The most used tenth of the hashtags has {natural['share of the top tenth']:.0%} of all "
        f"uses, and {balanced['share of the top tenth']:.0%} when balanced; the evenness goes from "
        f"{natural['evenness']:.3f} to {balanced['evenness']:.3f}."
    )


def _table(found: dict[str, dict[str, Any]]) -> Table:
    columns = tuple(next(iter(found.values())))
    rows = tuple(
        Row(name, tuple(Cell(_number(column, value)) for column, value in numbers.items()))
        for name, numbers in found.items()
    )
    note = (
        "Quantiles of the uses of a hashtag. Evenness: the entropy of the uses over its largest "
        "possible value; 1 is uniform."
    )
    return Table("Uses of a hashtag", "posts", columns, rows, (note,))


def _number(column: str, value: float) -> str:
    if column == "evenness":
        return f"{value:.3f}"
    return f"{value:.1%}" if column.startswith("share") else f"{value:,.0f}"


def _plot(uses: Uses) -> Plot:
    matplotlib_figure()
    from matplotlib.ticker import LogLocator

    def draw(ink: str) -> Any:
        figure = matplotlib_figure()(figsize=(7.2, 3.6), layout="constrained")
        axes = bare_axes(figure, ink, grid="y")
        for name, counts in uses.items():
            axes.plot(np.arange(1, len(counts) + 1), counts, color=_COLOURS[ink][name],
                      linewidth=1.8, drawstyle="steps-mid", label=name)  # fmt: skip
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter("")
        axes.tick_params(which="minor", length=0)
        axes.set_xlim(left=1)
        axes.set_xlabel("hashtags, most used first", color=_WORDS[ink], fontsize=9)
        axes.set_ylabel("uses (logarithmic)", color=_WORDS[ink], fontsize=9)
        axes.legend(frameon=False, fontsize=9, labelcolor=_WORDS[ink])
        return figure

    light, dark = both(draw)
    spoken = "; ".join(
        f"{name}: {len(counts)} hashtags, from {counts[0]} uses down to {counts[-1]}, median "
        f"{int(np.median(counts))}"
        for name, counts in uses.items()
    )
    title = "How often each hashtag is used"
    return Plot("distribution", title, f"Curves of uses. {spoken}.", light, dark)
