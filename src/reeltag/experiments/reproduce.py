"""A paper's table or figure by name and a dataset in, its report on that dataset out.

gcn-phr:table3    GCN-PHR against UTM, ConTagNet, CSMN, USHM, and our simple peers
gcn-phr:table4    GCN-PHR against its variants I, II, III
gcn-phr:fig3      a few test posts with what each model recommends, as a picture
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError
from reeltag.experiments.compare import compare
from reeltag.experiments.figure import draw_figure, show_posts
from reeltag.experiments.page import Page
from reeltag.experiments.papers import GCN_PHR_TABLE_3, GCN_PHR_TABLE_4, PaperTable
from reeltag.experiments.plan import Plan, assign_settings, protocols_of, read_configs
from reeltag.experiments.report import fact_lines, write_page, write_report
from reeltag.models.registry import REGISTRY

SIMPLE_PEERS = ("popularity", "user-history", "content-knn", "blend")
"""Rules that no paper compares with and every table must."""


@dataclass(frozen=True)
class Procedure:
    """What a paper did, ready for any dataset."""

    name: str
    title: str
    models: tuple[str, ...]
    paper: PaperTable | None = None
    """The table whose numbers stand beside ours; none for a figure."""


PROCEDURES = {
    procedure.name: procedure
    for procedure in (
        Procedure(
            "gcn-phr:table3",
            "GCN-PHR, Table 3: against the baselines",
            ("utm", "contagnet", "csmn", "ushm", "gcn-phr", *SIMPLE_PEERS),
            GCN_PHR_TABLE_3,
        ),
        Procedure(
            "gcn-phr:table4",
            "GCN-PHR, Table 4: against its variants",
            ("gcn-phr-i", "gcn-phr-ii", "gcn-phr-iii", "gcn-phr"),
            GCN_PHR_TABLE_4,
        ),
        Procedure(
            "gcn-phr:fig3",
            "GCN-PHR, Figure 3: what each model recommends",
            ("utm", "contagnet", "csmn", "ushm", "gcn-phr"),
        ),
    )
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
    seeds: Sequence[int] = (0, 1, 2),
    pairs: Mapping[str, Any] | None = None,
    configs: Sequence[str] = (),
    users: Sequence[str] = (),
    device: str = "auto",
    command: str = "",
) -> dict[str, Any]:
    """Fit the procedure's models, judge them as the paper did, write the report into `out`.

    A table is judged by the paper's protocol and by full ranking. A figure needs one seed.

    Args:
        pairs: settings as `--set` has them, by `MODEL.KEY` or bare `KEY`.
        configs: `MODEL=FILE.toml` each.
        users: whose posts a figure shows; default a few drawn ones.

    Returns what `report.json` holds.
    """
    models = procedure.models
    settings = assign_settings(models, pairs or {}, read_configs(models, configs))
    figure = procedure.paper is None
    plan = Plan(
        models=models,
        split=split,
        seeds=tuple(seeds)[:1] if figure else tuple(seeds),
        protocols=("full",) if figure else protocols_of("sampled"),
        settings=settings,
        device=device,
    )
    title = f"{procedure.title}, on {dataset.path.name}"
    found = compare(dataset, plan, out, command=command)
    if not figure:
        return {"procedure": procedure.name, **write_report(found, out, title, procedure.paper)}
    shown = show_posts(dataset, plan, list(found.outcomes), out, users)
    lead = (
        "Ten best hashtags of each model, full ranking. Green with a tick: on this post. Blue: "
        "not on this post, but on a training post of the same user. The paper marks them red "
        "and green. No number follows from a few posts; `reeltag compare` gives those.",
    )
    values = {
        "procedure": procedure.name,
        "title": title,
        "models": list(found.outcomes),
        "failed": [{"model": name, "reason": why} for name, why in found.failures.items()],
        "posts": [post.as_json() for post in shown],
        **found.facts,
    }
    failed = tuple(f"Left out: {name}: {why}" for name, why in found.failures.items())
    page = Page(title, (*lead, *failed), (draw_figure(shown),), tuple(fact_lines(found.facts)))
    write_page(page, out, values)
    return values
