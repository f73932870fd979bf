"""A paper's table or figure by name and a dataset in, its report on that dataset out.

What each paper did lies in `reeltag.experiments.papers`, one file a paper.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError
from reeltag.experiments.balanced import balanced_dataset
from reeltag.experiments.buckets import show_buckets, show_by_popularity
from reeltag.experiments.calibration import show_calibration
from reeltag.experiments.compare import compare
from reeltag.experiments.counts import show_counts
from reeltag.experiments.distribution import show_distribution
from reeltag.experiments.figure import draw_figure, show_posts
from reeltag.experiments.order import Order, features_read
from reeltag.experiments.page import Page
from reeltag.experiments.papers import gcn_phr, house, logo, uhman
from reeltag.experiments.papers.procedure import Kind, Procedure
from reeltag.experiments.report import fact_lines, write_page, write_report
from reeltag.experiments.sweep import show_sweeps
from reeltag.experiments.variants import show_variants
from reeltag.models.registry import REGISTRY

PROCEDURES: dict[str, Procedure] = {
    each.name: each for paper in (gcn_phr, uhman, logo, house) for each in paper.PROCEDURES
}


def procedure_of(name: str) -> Procedure:
    """The procedure named `name`, all of whose models exist.

    Raises `ConfigError` listing the valid names, or the models that are missing.
    """
    if name not in PROCEDURES:
        near = difflib.get_close_matches(name, PROCEDURES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"Got {name!r}, expected one of {', '.join(PROCEDURES)}.{hint}")
    procedure = PROCEDURES[name]
    missing = [model for model in procedure.models if model not in REGISTRY]
    if missing:
        raise ConfigError(
            f"{name} needs models that this release does not have: {', '.join(missing)}. "
            f"It has: {', '.join(REGISTRY)}."
        )
    return procedure


def reproduce(
    procedure: Procedure,
    dataset: Dataset,
    out: Path,
    *,
    split: str = "main",
    seeds: Sequence[int] | None = None,
    pairs: Mapping[str, Any] | None = None,
    configs: Sequence[str] = (),
    users: Sequence[str] = (),
    device: str = "auto",
    command: str = "",
) -> dict[str, Any]:
    """Do what the procedure says, write the report into `out`.

    A table is judged by the paper's protocol and by full ranking. A figure of posts needs one
    seed, one of uses none.

    Args:
        seeds: of the fits; None: as many as the paper took, from 0 on.
        pairs: settings as `--set` has them, by `MODEL.KEY` or bare `KEY`.
        configs: `MODEL=FILE.toml` each.
        users: whose posts a figure shows; default a few drawn ones.

    Returns what `report.json` holds.
    """
    chosen = tuple(range(procedure.seeds)) if seeds is None else tuple(seeds)
    order = Order(
        procedure, dataset, out, split, chosen, pairs or {}, configs, users, device, command
    )
    return _KINDS[procedure.kind](order)


def _table(order: Order) -> dict[str, Any]:
    procedure, title, notes = order.procedure, order.title, list(order.procedure.lead)
    if procedure.balance_top:
        order.settings()  # a wrong one is refused before a dataset is written
        dataset, note = balanced_dataset(
            order.dataset, order.out / "balanced", order.split, procedure.balance_top
        )
        order, notes = replace(order, dataset=dataset), [*notes, note]
    plan = order.plan()
    found = compare(order.dataset, plan, order.out, command=order.command)
    if procedure.one_modality:
        notes.append(features_read(order.dataset, plan, found.outcomes))
    values = write_report(found, order.out, title, procedure.paper, tuple(notes))
    return {"procedure": procedure.name, **values}


def _posts(order: Order) -> dict[str, Any]:
    plan = order.plan(order.seeds[:1])
    found = compare(order.dataset, plan, order.out, command=order.command)
    shown = show_posts(order.dataset, plan, list(found.outcomes), order.out, order.users)
    lead = (
        "Ten best hashtags of each model, full ranking. Green with a tick: on this post. Blue: "
        "not on this post, but on a training post of the same user. The paper marks them red "
        "and green. No number follows from a few posts; `reeltag compare` gives those.",
    )
    values = {
        "procedure": order.procedure.name,
        "title": order.title,
        "models": list(found.outcomes),
        "failed": [{"model": name, "reason": why} for name, why in found.failures.items()],
        "posts": [post.as_json() for post in shown],
        **found.facts,
    }
    failed = tuple(f"Left out: {name}: {why}" for name, why in found.failures.items())
    facts = tuple(fact_lines(found.facts))
    page = Page(order.title, (*lead, *failed), (draw_figure(shown),), facts)
    write_page(page, order.out, values)
    return values


_KINDS: dict[Kind, Callable[[Order], dict[str, Any]]] = {
    "table": _table,
    "posts": _posts,
    "distribution": show_distribution,
    "sweep": show_sweeps,
    "counts": show_counts,
    "popularity": show_by_popularity,
    "buckets": show_buckets,
    "variants": show_variants,
    "calibration": show_calibration,
}
