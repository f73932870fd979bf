"""`reeltag reproduce`: a paper's table or figure by name, on any dataset."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from reeltag.cli.show import print_json


def command(
    name: str = typer.Argument(..., help="PAPER:TABLE; an unknown name lists the valid ones."),
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    split: str = typer.Option("main", help="Name of the split."),
    seeds: int | None = typer.Option(
        None,
        min=1,
        help="Fits of each model, seeds 0 to N - 1. Default: 3, LOGO's 5, the house model's 1.",
    ),
    set_: list[str] = typer.Option(
        [], "--set", help="MODEL.KEY=VALUE, or KEY=VALUE for every model that has it; repeatable."
    ),
    config: list[str] = typer.Option(
        [], "--config", help="MODEL=FILE.toml, such as the best.toml of a tuning; repeatable."
    ),
    user: list[str] = typer.Option(
        [], "--user", help="A figure of posts: whose to show; repeatable. Default: drawn by seed 0."
    ),
    out: Path = typer.Option(..., help="Folder for the report and the runs."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    json: bool = typer.Option(False, "--json", help="Print report.json's object."),
) -> None:
    """Do what a paper did for one of its tables or figures; its numbers stand beside ours.

    Writes report.html, report.md and report.json. The same command goes on after a kill.

    Example: reeltag reproduce gcn-phr:table4 news5 --seeds 3 --out table4

    Example: reeltag reproduce uhman:fig4 clips --set epochs=30 --out sweeps
    """
    from reeltag.data.dataset import Dataset
    from reeltag.experiments.report import check_drawing
    from reeltag.experiments.reproduce import procedure_of, reproduce
    from reeltag.progress import say
    from reeltag.runtime import set_threads
    from reeltag.training.settings import read_settings

    set_threads()
    procedure = procedure_of(name)
    check_drawing()
    values = reproduce(
        procedure,
        Dataset.open(dataset),
        out,
        split=split,
        seeds=None if seeds is None else tuple(range(seeds)),
        pairs=read_settings(None, set_),
        configs=config,
        users=user,
        device=device,
        command=shlex.join(["reeltag", *sys.argv[1:]]),
    )
    if json:
        print_json(values)
    else:
        say(f"Report: {out / 'report.html'}")
