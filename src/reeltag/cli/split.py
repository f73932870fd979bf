"""`reeltag split`: which posts train, choose and judge."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.show import print_table
from reeltag.data.dataset import Dataset
from reeltag.data.schema import PARTS
from reeltag.data.splits import SplitRecipe, make_split, parse_ratio


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    name: str = typer.Option("main", help="Name of the split."),
    by: str = typer.Option(
        "user", help="user (each user's posts at random), random, time (oldest train) or column."
    ),
    ratio: str = typer.Option("8:1:1", help="Shares of train, validation and test."),
    seed: int = typer.Option(0, help="Seed of the random draw."),
    min_hashtag_uses: int = typer.Option(
        1, help="Hashtags with fewer uses in the training part leave the vocabulary."
    ),
    cold_users: float = typer.Option(
        0.0, help="Share of the users (0 to below 1) all of whose posts go to the test part."
    ),
    cold_hashtags: float = typer.Option(
        0.0,
        help="Share (0 to below 1) of the hashtags that both training and test use which training "
        "never sees; they stay in the catalogue with 0 uses.",
    ),
) -> None:
    """Divide the posts of a dataset; a dataset can hold many splits.

    Example: reeltag split news5 --name main --by user --seed 0
    """
    recipe = SplitRecipe(
        by,  # type: ignore[arg-type]
        parse_ratio(ratio),
        seed,
        min_hashtag_uses,
        cold_users,
        cold_hashtags,
    )
    split = make_split(Dataset.open(dataset), name, recipe)
    rows = [[part, len(split.rows(part))] for part in PARTS]
    note = (
        f"{len(split.cold):,} hashtags are cold: training does not see them." if split.cold else ""
    )
    print_table(f"{dataset}: split {name!r} by {by}", ["part", "posts"], rows, note=note)
