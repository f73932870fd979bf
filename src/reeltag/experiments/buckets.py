"""A paper's procedure in, its models by how much used the hashtags are out.

In two ways: one comparison taken apart by the popularity of what is looked for (LOGO, Table 2),
or a dataset and a comparison each (Table 3). Popularity is counted on training posts.

OUT/<popularity>/dataset    posts with hashtags of that popularity, in the parts they had
OUT/<popularity>/runs       the fits on it
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from reeltag.data.corpus import open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.filters import apply_restriction, restrict_dataset
from reeltag.data.schema import conform
from reeltag.data.splits import carry_split
from reeltag.errors import ReelTagError, RunError
from reeltag.evaluation.slices import popularity_buckets
from reeltag.experiments.compare import Comparison, compare
from reeltag.experiments.order import Order
from reeltag.experiments.report import write_reports
from reeltag.progress import say

_RULE = (
    "Popular hashtags have more than 27 uses on training posts, relatively popular ones 10 to 27, "
    "unpopular ones 1 to 9; the paper does not say where it counted."
)


def show_by_popularity(order: Order) -> dict[str, Any]:
    """Fit the models once, judge them by each popularity; returns `report.json`'s object."""
    found = compare(order.dataset, order.plan(), order.out, command=order.command)
    parts = {name: found.bucket(name) for name in order.procedure.papers}
    left = [f"No test post has a hashtag that is {name}." for name, one in parts.items() if not one]
    some = {name: one for name, one in parts.items() if one is not None}
    return _write(order, some, left, separate=False)


def show_buckets(order: Order) -> dict[str, Any]:
    """Fit and judge the models on a dataset for each popularity; returns `report.json`'s object."""
    order.settings()  # a wrong one is refused before a dataset is written
    parts: dict[str, Comparison] = {}
    left: list[str] = []
    for name, hashtags in hashtags_of(order.dataset, order.split).items():
        if name not in order.procedure.papers:
            continue
        say(f"{len(hashtags):,} {name} hashtags")
        try:
            made = bucket_dataset(
                order.dataset, order.out / name / "dataset", order.split, name, hashtags
            )
            parts[name] = compare(made, order.plan(), order.out / name, command=order.command)
        except RunError:  # the folder holds something else: nobody's result
            raise
        except ReelTagError as fault:
            left.append(f"{name.capitalize()} hashtags are left out: {fault}")
            continue
        counts = made.counts
        left.append(
            f"{name.capitalize()}: {counts['hashtags']:,} hashtags, {counts['posts']:,} posts, "
            f"{counts['uses']:,} uses."
        )
    if not parts:
        raise ReelTagError(" ".join(left))
    return _write(order, parts, left)


def hashtags_of(dataset: Dataset, split: str) -> dict[str, pl.Series]:
    """The hashtags of each popularity, counted on the training posts of a split."""
    vocabulary = open_corpus(dataset, split, []).hashtags
    names = pl.Series(list(vocabulary.names), dtype=pl.Utf8)
    return {
        name: names.filter(pl.Series(chosen.numpy()))
        for name, chosen in popularity_buckets(vocabulary.counts).items()
    }


def bucket_dataset(
    dataset: Dataset, target: Path, split: str, name: str, hashtags: pl.Series
) -> Dataset:
    """The posts with one of `hashtags`, in the parts of `split` they have in `dataset`.

    One at `target` is used again; raises `RunError` where that was made of other posts.
    """
    if (target / "dataset.toml").is_file():
        made = Dataset.open(target)
        wanted = apply_restriction(dataset.posts, hashtags).drop("row")
        if not made.posts.equals(conform(wanted)):
            raise RunError(
                f"{target} was made of other posts. Choose another --out, or remove that folder."
            )
    else:
        made = restrict_dataset(dataset, target, hashtags, name)
    if split not in made.splits:
        carry_split(dataset, made, split)
    return made


def _write(
    order: Order, parts: dict[str, Comparison], notes: list[str], separate: bool = True
) -> dict[str, Any]:
    lead = (*order.procedure.lead, _RULE, *notes)
    papers = order.procedure.papers
    values = write_reports(parts, order.out, order.title, papers, lead, separate)
    return {"procedure": order.procedure.name, **values}
