"""`reeltag compare`: models side by side, with significance tests and a report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from reeltag.cli.show import print_json, print_table


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    models: str = typer.Option(..., help="Names with commas, or all; `reeltag models` lists them."),
    split: str = typer.Option("main", help="Name of the split."),
    seeds: int = typer.Option(1, min=1, help="Fits of each model that draws, seeds 0 to N - 1."),
    protocol: str = typer.Option(
        "full", help="full, sampled, leave-one-out or replay; full ranking is always reported too."
    ),
    top: str = typer.Option("5,10", help="The k of the metrics, with commas."),
    set_: list[str] = typer.Option(
        [], "--set", help="MODEL.KEY=VALUE, or KEY=VALUE for every model that has it; repeatable."
    ),
    config: list[str] = typer.Option(
        [], "--config", help="MODEL=FILE.toml, such as the best.toml of a tuning; repeatable."
    ),
    out: Path = typer.Option(..., help="Folder for the report and the runs."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    json: bool = typer.Option(False, "--json", help="Print report.json's object."),
) -> None:
    """Fit models with several seeds, judge them on the test part, test their differences.

    Writes report.html, report.md and report.json. The same command goes on after a kill.

    Example: reeltag compare news5 --models popularity,user-history,gcn-phr --seeds 3 --out cmp
    """
    from reeltag.data.dataset import Dataset
    from reeltag.evaluation.protocols import parse_protocol
    from reeltag.experiments.compare import compare
    from reeltag.experiments.judge import parse_tops
    from reeltag.experiments.plan import Plan, assign_settings, protocols_of, read_configs
    from reeltag.experiments.report import check_drawing, write_report
    from reeltag.models.registry import REGISTRY
    from reeltag.runtime import set_threads
    from reeltag.training.settings import read_settings

    set_threads()
    check_drawing()
    named = tuple(name.strip() for name in models.split(",") if name.strip())
    names = tuple(REGISTRY) if named == ("all",) else named
    plan = Plan(
        models=names,
        split=split,
        seeds=tuple(range(seeds)),
        protocols=protocols_of(parse_protocol(protocol)),
        tops=parse_tops(top),
        settings=assign_settings(names, read_settings(None, set_), read_configs(names, config)),
        device=device,
    )
    opened = Dataset.open(dataset)
    found = compare(opened, plan, out, command=shlex.join(["reeltag", *sys.argv[1:]]))
    values = write_report(found, out, f"Models on {opened.path.name}")
    if json:
        print_json(values)
        return
    for asked in plan.protocols:
        results = {name: outcome.results[asked] for name, outcome in found.outcomes.items()}
        shown = [metric for metric in next(iter(results.values())).metrics if metric != "mrr"]
        kept = [m for m in shown if m.endswith(f"@{max(plan.tops)}")]
        print_table(
            f"Models on {opened.path.name}, {asked}",
            ["model", *kept],
            [[n, *(r.metrics[m].mean for m in kept)] for n, r in results.items()],
            note=f"Report: {out / 'report.html'}",
        )
