"""`reeltag filter`: a smaller dataset from a dataset."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.info import show_info
from reeltag.data.dataset import Dataset
from reeltag.data.filters import Filter, filter_dataset


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder to read."),
    new: Path = typer.Argument(..., help="Dataset folder to write."),
    min_hashtag_uses: int = typer.Option(
        0, help="Drop hashtags on fewer posts; posts left without a hashtag go too."
    ),
    min_user_posts: int = typer.Option(
        0, help="Drop users with fewer posts; posts of nobody go too."
    ),
    max_posts_per_user: int = typer.Option(0, help="Keep each user's newest posts, so many."),
    balance_top: int = typer.Option(
        0, help="Down-sample so many of the most common hashtags to the uses of the next one."
    ),
    seed: int = typer.Option(0, help="Seed of --balance-top."),
    replace: bool = typer.Option(False, help="Overwrite NEW if it is a dataset."),
) -> None:
    """Keep what is used often enough, repeated until stable (a k-core).

    Example: reeltag filter news news5 --min-hashtag-uses 5 --min-user-posts 5

    Example: reeltag filter news5 even --balance-top 150 --seed 0
    """
    rules = Filter(min_hashtag_uses, min_user_posts, max_posts_per_user, balance_top, seed)
    show_info(filter_dataset(Dataset.open(dataset), new, rules, replace=replace))
