"""A dataset in, what there is to know at a glance out: the object of `reeltag info --json`."""

from __future__ import annotations

from typing import Any

import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.data.splits import open_split

_TOP = 10


def summary(dataset: Dataset) -> dict[str, Any]:
    """Counts, distribution, most used hashtags, features and splits."""
    posts = dataset.posts
    uses = posts["hashtags"].explode(empty_as_null=False).value_counts(sort=True)
    column = uses.columns[0]
    ranked = uses.sort(["count", column], descending=[True, False])
    return {
        "dataset": str(dataset.path),
        "source": dataset.description["source"],
        "counts": dataset.counts,
        "distribution": {
            "hashtags a post": _spread(posts["hashtags"].list.len()),
            "uses a hashtag": _spread(uses["count"]),
            "posts a user": _spread(dataset.users["posts"]),
        },
        "top_hashtags": dict(ranked.head(_TOP).iter_rows()),
        "features": [
            {
                "name": name,
                "modality": manifest.modality,
                "extractor": manifest.extractor,
                "kind": manifest.kind,
                "shape": list(manifest.shape),
                "dtype": manifest.dtype,
                "present": int(dataset.feature(name).present.sum()),
            }
            for name, manifest in dataset.features.items()
        ],
        "splits": [_split(dataset, name) for name in dataset.splits],
    }


def _split(dataset: Dataset, name: str) -> dict[str, Any]:
    split = open_split(dataset, name)
    return {
        "name": name,
        "by": split.recipe.by,
        "seed": split.recipe.seed,
        "min_hashtag_uses": split.recipe.min_hashtag_uses,
        "counts": {part: len(split.rows(part)) for part in ("train", "validation", "test")},
    }


def _spread(counts: pl.Series) -> dict[str, float]:
    if counts.is_empty():
        return {"mean": 0.0, "median": 0.0, "p90": 0.0, "most": 0.0}
    numbers = counts.cast(pl.Float64).to_numpy()
    ordered = pl.Series(numbers)
    return {
        "mean": float(numbers.mean()),
        "median": float(ordered.quantile(0.5, "nearest") or 0),
        "p90": float(ordered.quantile(0.9, "nearest") or 0),
        "most": float(numbers.max()),
    }
