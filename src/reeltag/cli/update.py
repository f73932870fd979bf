"""`reeltag update`: a run goes on with new posts."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.show import print_table


def command(
    run: Path = typer.Argument(..., help="Run folder to go on from; it stays as it is."),
    dataset: Path = typer.Argument(..., help="Dataset with the posts of before and the new ones."),
    out: Path = typer.Option(..., help="Run folder to write."),
    split: str | None = typer.Option(None, help="Name of the split; default the run's."),
    config: Path | None = typer.Option(None, help="TOML file of settings to change."),
    set_: list[str] = typer.Option(
        [], "--set", help="One setting to change, KEY=VALUE; may be repeated. Overrides --config."
    ),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    resume: bool = typer.Option(False, help="Go on after a kill, with the same settings."),
) -> None:
    """Let a run learn new posts, users and hashtags without starting anew.

    A trained model starts from the run's weights and trains for up to ten epochs; new users and
    hashtags start where those stand whose posts are most alike. The house model counts again
    and keeps its trees.

    Example: reeltag update runs/gcn news-week2 --out runs/gcn2 --set epochs=5
    """
    from reeltag.data.dataset import Dataset
    from reeltag.experiments.update import update_run
    from reeltag.runtime import set_threads
    from reeltag.together import first, joined
    from reeltag.training.settings import read_settings

    set_threads()
    settings = read_settings(config, set_)
    with joined(device) as own:
        made = update_run(
            run, Dataset.open(dataset), out, split, settings, device=own, resume=resume
        )
        if not first():
            return
    results, sizes = made["results"], made["sizes"]
    print_table(
        f"{out}: {made['model']}, {results['posts']:,} validation posts, full ranking",
        ["", "value"],
        [
            ("users", float(sizes["users"])),
            ("hashtags", float(sizes["hashtags"])),
            ("training posts", float(sizes["training_posts"])),
            ("seconds", results["seconds"]),
            *results["metrics"].items(),
        ],
    )
