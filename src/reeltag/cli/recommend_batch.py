"""`reeltag recommend-batch`: hashtags for many posts."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.show import console, print_json


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    run: Path = typer.Argument(..., help="Run folder."),
    out: Path = typer.Option(..., help="Folder to write: parts as Parquet, and what they are."),
    on: str = typer.Option(
        "all", help="all posts, of any dataset; test or validation of the one it was trained on."
    ),
    k: int = typer.Option(10, "-k", help="How many hashtags a post."),
    workers: int | None = typer.Option(None, help="Workers of one thread; default one a core."),
    executor: str = typer.Option(
        "local", help="local (processes of this machine) or ray (the cluster at $RAY_ADDRESS)."
    ),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recommend hashtags for the posts of a dataset; a killed command goes on where it was.

    Example: reeltag recommend-batch news5 runs/gcn --on test --out recommended
    """
    from reeltag.data.dataset import Dataset
    from reeltag.recommend.batch import parse_on, recommend_batch
    from reeltag.scale.executors import pool_on

    described = recommend_batch(
        Dataset.open(dataset),
        run,
        out,
        on=parse_on(on),
        k=k,
        workers=workers,
        pool=pool_on(executor),
        device=device,
    )
    if json:
        print_json(described)
        return
    console.print(
        f"{out}: {described['k']} hashtags for each of {described['posts']:,} posts, in "
        f"{len(described['sha256']):,} parts.",
        markup=False,
        soft_wrap=True,
    )
