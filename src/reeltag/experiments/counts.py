"""A dataset in; a page on how many hashtags a post has and how many uses a hashtag, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.errors import ConfigError
from reeltag.experiments.balanced import uses_of
from reeltag.experiments.facts import facts_of
from reeltag.experiments.order import Order
from reeltag.experiments.page import Page
from reeltag.experiments.plots import Plot, bare_axes, both, matplotlib_figure
from reeltag.experiments.report import fact_lines, write_page
from reeltag.experiments.tables import Cell, Row, Table

_COLOURS = {"light": "#173f5f", "dark": "#6ea8fe"}
_WORDS = {"light": "#1f2328", "dark": "#e6e8eb"}
_POST_BINS = ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, None))
_USE_BINS = ((1, 1), (2, 2), (3, 4), (5, 9), (10, 27), (28, 100), (101, None))
"""The edges 5, 10 and 27 are those of the paper's text."""

Bins = tuple[tuple[int, int | None], ...]


@dataclass(frozen=True)
class Histogram:
    """How many of something lie in each bin."""

    name: str
    title: str
    what: str
    """What is counted, and on what."""
    labels: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def shares(self) -> list[float]:
        """Each bin's part of all."""
        total = max(1, sum(self.counts))
        return [count / total for count in self.counts]


def show_counts(order: Order) -> dict[str, Any]:
    """Write the page; returns what `report.json` holds. No model is fitted, no split needed."""
    if order.pairs or order.configs:
        raise ConfigError(
            f"{order.procedure.name} fits no model, so --set and --config have nothing to set."
        )
    posts = order.dataset.posts
    found = histograms(posts)
    facts = facts_of(order.dataset, None, order.command)
    parts = [part for each in found for part in (_plot(each), _table(each))]
    page = Page(
        order.title,
        (*order.procedure.lead, _finding(posts)),
        tuple(parts),
        tuple(fact_lines(facts)),
    )
    values = {
        "procedure": order.procedure.name,
        "title": order.title,
        "histograms": {
            each.name: dict(zip(each.labels, each.counts, strict=True)) for each in found
        },
        **facts,
    }
    write_page(page, order.out, values)
    return values


def histograms(posts: pl.DataFrame) -> tuple[Histogram, Histogram]:
    """Posts by their hashtags, hashtags by their uses."""
    of_posts = posts["hashtags"].list.len().to_numpy().astype(np.int64)
    return (
        _histogram("posts", "(a) Hashtags of a post", "hashtags of a post", of_posts, _POST_BINS),
        _histogram(
            "hashtags", "(b) Uses of a hashtag", "uses of a hashtag", uses_of(posts), _USE_BINS
        ),
    )


def _histogram(
    name: str, title: str, what: str, values: NDArray[np.int64], bins: Bins
) -> Histogram:
    labels = tuple(
        f"{low}" if low == high else f"{low}-{high}" if high is not None else f"> {low - 1}"
        for low, high in bins
    )
    counts = tuple(
        int(((values >= low) & (values <= (np.inf if high is None else high))).sum())
        for low, high in bins
    )
    return Histogram(name, title, what, labels, counts)


def _finding(posts: pl.DataFrame) -> str:
    bare = float((posts["hashtags"].list.len() == 0).mean() or 0)  # type: ignore[arg-type]
    uses = uses_of(posts)
    rare = float((uses < 5).mean()) if len(uses) else 0.0
    return (
        f"Here {bare:.0%} of the posts have no hashtag, and {rare:.0%} of the hashtags occur less "
        "than 5 times."
    )


def _table(found: Histogram) -> Table:
    rows = tuple(
        Row(label, (Cell(f"{count:,}"), Cell(f"{share:.1%}")))
        for label, count, share in zip(found.labels, found.counts, found.shares, strict=True)
    )
    return Table(found.title, found.what, (found.name, "share"), rows)


def _plot(found: Histogram) -> Plot:
    def draw(ink: str) -> Any:
        figure = matplotlib_figure()(figsize=(7.2, 2.9), layout="constrained")
        axes = bare_axes(figure, ink, grid="y")
        bars = axes.bar(found.labels, found.shares, color=_COLOURS[ink], width=0.72)
        axes.bar_label(bars, [f"{share:.0%}" if share >= 0.005 else "" for share in found.shares],
                       color=_WORDS[ink], fontsize=8, padding=2)  # fmt: skip
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.margins(y=0.12)
        axes.set_xlabel(found.what, color=_WORDS[ink], fontsize=9)
        axes.set_ylabel(f"share of the {found.name}", color=_WORDS[ink], fontsize=9)
        return figure

    light, dark = both(draw)
    spoken = ", ".join(
        f"{label}: {n:,}" for label, n in zip(found.labels, found.counts, strict=True)
    )
    return Plot(
        f"counts-{found.name}",
        found.title,
        f"Bars of {found.name} by {found.what}. {spoken}.",
        light,
        dark,
    )
