"""A dataset in, the same with its most used hashtags made about as rare as the others out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.data.dataset import Dataset
from reeltag.data.filters import Filter, apply_filter, filter_dataset
from reeltag.data.schema import conform
from reeltag.data.splits import make_split, open_split
from reeltag.errors import RunError
from reeltag.progress import say


@dataclass(frozen=True)
class Balance:
    """How a dataset is balanced, and why so."""

    rules: Filter
    note: str


def balance_of(dataset: Dataset, top: int) -> Balance | None:
    """Thin out the `top` most used hashtags, or a quarter where there are no more than `top`.

    None where the dataset was balanced before.
    """
    if dataset.description["source"].get("filter", {}).get("balance_top", 0):
        return None
    hashtags = dataset.counts["hashtags"]
    fewer = top if hashtags > top else max(1, hashtags // 4)
    note = f"Balanced: the {fewer} most used of {hashtags:,} hashtags were thinned out"
    if fewer < top:
        note += f" (the paper's {top} would be all of them, so a quarter)"
    return Balance(Filter(balance_top=fewer), f"{note}.")


def balanced_dataset(dataset: Dataset, target: Path, split: str, top: int) -> tuple[Dataset, str]:
    """The balanced dataset and a sentence about it, made at `target` with its split.

    A dataset that is balanced already is taken as it is. One at `target` is used again; raises
    `RunError` where that was made of other posts.
    """
    balance = balance_of(dataset, top)
    if balance is None:
        return dataset, f"{dataset.path.name} was balanced before: its posts are taken as they are."
    if (target / "dataset.toml").is_file():
        made = Dataset.open(target)
        if not made.posts.equals(conform(apply_filter(dataset.posts, balance.rules).drop("row"))):
            raise RunError(
                f"{target} was made of other posts. Choose another --out, or remove that folder."
            )
    else:
        say(f"{balance.note} Its dataset: {target}")
        made = filter_dataset(dataset, target, balance.rules)
    recipe = open_split(dataset, split).recipe
    if split not in made.splits or open_split(made, split).recipe != recipe:
        make_split(made, split, recipe)
    return made, balance.note


def uses_of(posts: pl.DataFrame) -> NDArray[np.int64]:
    """On how many posts each hashtag is, most used first."""
    counted = posts["hashtags"].explode(empty_as_null=False).drop_nulls().value_counts()
    return np.sort(counted["count"].to_numpy().astype(np.int64))[::-1]


def quantiles(uses: NDArray[np.int64]) -> dict[str, Any]:
    """What a curve of uses is like, in numbers."""
    shares = uses / max(uses.sum(), 1)
    entropy = float(-(shares * np.log(shares)).sum())
    return {
        "hashtags": len(uses),
        "uses": int(uses.sum()),
        **{
            name: float(np.quantile(uses, at))
            for name, at in (
                ("least", 0), ("10 %", 0.1), ("25 %", 0.25), ("median", 0.5), ("75 %", 0.75),
                ("90 %", 0.9), ("most", 1),
            )
        },
        "share of the top tenth": float(shares[: max(1, len(uses) // 10)].sum()),
        "evenness": entropy / float(np.log(len(uses))) if len(uses) > 1 else 1.0,
    }  # fmt: skip
