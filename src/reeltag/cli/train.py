"""`reeltag train`: a run folder from a dataset."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.show import print_table


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    model: str = typer.Option(..., help="Name of the model; `reeltag models` lists them."),
    split: str = typer.Option("main", help="Name of the split."),
    out: Path = typer.Option(..., help="Run folder to write."),
    config: Path | None = typer.Option(None, help="TOML file of settings."),
    set_: list[str] = typer.Option(
        [], "--set", help="One setting, KEY=VALUE; may be repeated. Overrides --config."
    ),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    resume: bool = typer.Option(False, help="Go on after a kill, with the same settings."),
) -> None:
    """Fit a model on the training part; keep the epoch that is best on validation.

    Example: reeltag train news5 --split main --model gcn-phr --out runs/gcn --set dim=32

    On N GPUs or N groups of cores: torchrun --nproc-per-node N -m reeltag train ...
    """
    from reeltag.data.dataset import Dataset
    from reeltag.experiments.train import train_run
    from reeltag.runtime import set_threads
    from reeltag.together import first, joined
    from reeltag.training.settings import read_settings

    set_threads()
    settings = read_settings(config, set_)
    with joined(device) as own:
        description = train_run(
            Dataset.open(dataset), split, model, settings, out, device=own, resume=resume
        )
        if first():
            results = description["results"]
            print_table(
                f"{out}: {model}, {results['posts']:,} {results['on']} posts, full ranking",
                ["metric", "value"],
                results["metrics"].items(),
            )
