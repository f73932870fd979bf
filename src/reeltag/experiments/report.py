"""A comparison in; report.html, report.md, report.json and the plots out, each atomically."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reeltag.experiments.compare import Comparison
from reeltag.experiments.page import Page, html, markdown
from reeltag.experiments.papers.procedure import PaperTable
from reeltag.experiments.plots import Plot, matplotlib_figure, plots_of
from reeltag.experiments.tables import (
    Table,
    costs,
    failures,
    of_quality,
    p_text,
    settings_lines,
    tables_of,
)
from reeltag.storage import write_bytes, write_text


def check_drawing() -> None:
    """Raise `MissingExtraError` before hours of training rather than after them."""
    matplotlib_figure()


def write_report(
    found: Comparison,
    out: Path,
    title: str,
    paper: PaperTable | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the report of `found` into `out`; returns what `report.json` holds.

    `notes` stand below the finding: what a reader must know of how the data came about.
    """
    tables, plots = tables_of(found, paper), plots_of(found)
    # The main tables, then the picture of them, then everything else.
    main = len(found.plan.protocols)
    parts: list[Table | Plot] = [*tables[:main], *plots, *tables[main:]]
    page = Page(title, (*_lead(found), *notes), tuple(parts), _facts(found))
    values = {"title": title, **found.as_json()}
    if notes:
        values["notes"] = list(notes)
    if paper is not None:
        values["paper"] = paper.as_json()
    write_page(page, out, values)
    return values


def write_reports(
    found: Mapping[str, Comparison],
    out: Path,
    title: str,
    papers: Mapping[str, PaperTable],
    notes: Sequence[str] = (),
    separate: bool = True,
) -> dict[str, Any]:
    """Write one report of several comparisons, by name; returns what `report.json` holds.

    `separate`: each has fits of its own; else they are views of one comparison, and what it
    cost and what failed is said elsewhere or once.
    """
    main: list[Table | Plot] = []
    more: list[Table | Plot] = []
    lead: list[str] = []
    for name, one in found.items():
        heading = name.capitalize()
        own = of_quality(one, papers.get(name))
        own += [costs(one)] if separate else []
        own += [failures(one)] if one.failures and (separate or not more) else []
        tables = [replace(table, title=f"{heading}: {table.title}") for table in own]
        split = len(one.plan.protocols)
        main, more = [*main, *tables[:split]], [*more, *tables[split:]]
        lead += [f"{heading}: {text}" for text in _lead(one)]
    page = Page(title, (*lead, *notes), (*main, *more), _facts(next(iter(found.values()))))
    values = {
        "title": title,
        "parts": {name: one.as_json() for name, one in found.items()},
        "notes": list(notes),
        "papers": {name: paper.as_json() for name, paper in papers.items()},
    }
    write_page(page, out, values)
    return values


def write_page(page: Page, out: Path, values: Mapping[str, Any]) -> None:
    """Write a page as HTML and Markdown, its pictures as files, and `values` as JSON."""
    for part in page.parts:
        if isinstance(part, Plot):
            write_bytes(out / f"{part.name}.png", part.light)
    write_text(out / "report.html", html(page))
    write_text(out / "report.md", markdown(page))
    write_text(
        out / "report.json",
        json.dumps(finite(values), ensure_ascii=False, indent=1, allow_nan=False) + "\n",
    )


def fact_lines(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Command, data, versions, date and machine, as name and value."""
    data, split = facts["dataset"], facts.get("split")
    counts = data["counts"]
    lines = [("command", facts["command"])] if facts["command"] else []
    features = ", ".join(f"{name} ({what})" for name, what in data["features"].items())
    return [
        *lines,
        (
            "data set",
            f"{data['name']}: {counts['posts']:,} posts, {counts['users']:,} users, "
            f"{counts['hashtags']:,} hashtags, {counts['uses']:,} uses",
        ),
        ("features", features or "none"),
        *([("split", _split_line(split))] if split else []),
        ("versions", ", ".join(f"{name} {value}" for name, value in facts["versions"].items())),
        ("date", facts["date"]),
        ("machine", facts["machine"]),
    ]


def _split_line(split: Mapping[str, Any]) -> str:
    parts = split["counts"]
    cold = "".join(
        f", {split[f'cold_{what}']:.0%} of the {what} cold"
        for what in ("users", "hashtags")
        if split[f"cold_{what}"]
    )
    return (
        f"{split['name']} by {split['by']}, seed {split['seed']}{cold}: {parts['train']:,} train, "
        f"{parts['validation']:,} validation, {parts['test']:,} test"
    )


def finite(value: Any) -> Any:
    """`value` for JSON: a number that is none becomes null."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _lead(found: Comparison) -> tuple[str, ...]:
    """The finding in a sentence or two."""
    contrasts = found.contrasts["full"]
    metric, best = contrasts.metric, contrasts.best[contrasts.metric]
    mean = found.outcomes[best].results["full"].metrics[metric].mean
    low, high = contrasts.intervals[best]
    first = (
        f"In the full ranking, {best} is best on {metric}: {mean:.4f} "
        f"(95 % interval over posts {low:.4f} to {high:.4f})."
    )
    second = _runner_up(contrasts.against_best, found, metric)
    left = (
        f"Left out, with the reason below: {', '.join(found.failures)}." if found.failures else ""
    )
    return tuple(text for text in (first, second, left) if text)


def _runner_up(tests: Sequence[Any], found: Comparison, metric: str) -> str:
    if not tests:
        return ""
    test = min(tests, key=lambda each: each.difference)
    p = p_text(test.t_holm)
    if test.significant:
        return (
            f"It is ahead of the next, {test.second}, by {test.difference:.4f} "
            f"({test.low:.4f} to {test.high:.4f}; corrected p {p})."
        )
    return (
        f"Its lead over the next, {test.second}, of {test.difference:.4f} is not shown by these "
        f"posts ({test.low:.4f} to {test.high:.4f}; corrected p {p})."
    )


def _facts(found: Comparison) -> tuple[tuple[str, str], ...]:
    settings = [
        (f"settings of {name}", "; ".join(settings_lines(outcome)))
        for name, outcome in found.outcomes.items()
        if outcome.settings or outcome.training
    ]
    seeds = ("seeds", ", ".join(map(str, found.plan.seeds)))
    return (*fact_lines(found.facts), seeds, *settings)
