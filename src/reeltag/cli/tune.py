"""`reeltag tune`: a model's settings, searched on the validation part alone."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.show import print_json, print_table


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    model: str = typer.Option(..., help="Name of the model; `reeltag models` lists them."),
    trials: int = typer.Option(20, min=1, help="How many settings to try, earlier ones included."),
    split: str = typer.Option("main", help="Name of the split."),
    metric: str = typer.Option("recall@10", help="Validation metric (full ranking) to raise."),
    set_: list[str] = typer.Option(
        [], "--set", help="KEY=VALUE that every trial has and no trial varies; repeatable."
    ),
    prune: bool = typer.Option(False, "--prune", help="Stop trials below the median early."),
    seed: int = typer.Option(0, help="Of the search and of every trial's training."),
    out: Path = typer.Option(..., help="Folder for best.toml, trials.json and the plot."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    json: bool = typer.Option(False, "--json", help="Print trials.json's object."),
) -> None:
    """Search a model's settings; test posts are never looked at.

    Writes best.toml (for `reeltag train --config`), trials.json and tuning.png. The same
    command goes on after a kill; a larger --trials goes on searching.

    Example: reeltag tune news5 --model gcn-phr --trials 30 --out tuned --set epochs=20
    """
    from reeltag.data.dataset import Dataset
    from reeltag.experiments.tune import Search, tune
    from reeltag.runtime import set_threads
    from reeltag.training.settings import read_settings

    set_threads()
    search = Search(
        model=model,
        split=split,
        metric=metric,
        fixed=read_settings(None, set_),
        seed=seed,
        prune=prune,
    )
    found = tune(Dataset.open(dataset), search, trials, out, device=device)
    if json:
        print_json(found)
        return
    best = f"{found['best']['value']:.4f}"
    print_table(
        f"{out}: {model}, best of {len(found['trials'])} trials",
        ["setting", "value"],
        [*map(_row, found["best"]["settings"].items()), (f"validation {metric}", best)],
        note=f"reeltag train {dataset} --model {model} --split {split} "
        f"--config {out / 'best.toml'} --out RUN",
    )


def _row(setting: tuple[str, object]) -> tuple[str, str]:
    """A setting for people: step sizes need significant digits, not decimals."""
    name, value = setting
    return name, f"{value:.4g}" if isinstance(value, float) else str(value)
