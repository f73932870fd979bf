"""A dataset in, what there is to know at a glance out: the object of `reeltag info --json`."""

from __future__ import annotations

from typing import Any

import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.data.schema import COUNTED
from reeltag.data.splits import open_split

_TOP = 10


def summary(dataset: Dataset) -> dict[str, Any]:
    """Counts, distribution, most used hashtags, fields of the users, features and splits."""
    hashtags = dataset.columns("hashtags")["hashtags"]
    uses = hashtags.explode(empty_as_null=False).value_counts(sort=True)
    column = uses.columns[0]
    ranked = uses.sort(["count", column], descending=[True, False])
    return {
        "dataset": str(dataset.path),
        "source": dataset.description["source"],
        "counts": dataset.counts,
        "distribution": {
            "hashtags a post": _spread(hashtags.list.len()),
            "uses a hashtag": _spread(uses["count"]),
            "posts a user": _spread(dataset.users["posts"]),
        },
        "top_hashtags": dict(ranked.head(_TOP).iter_rows()),
        "fields": [_field(dataset, name) for name in dataset.users.columns if name not in COUNTED],
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


def _field(dataset: Dataset, name: str) -> dict[str, Any]:
    """A field of the users: its most common values with their users, or its range.

    unknown_users, unknown_posts: shares; a post of nobody is one whose field is unknown.
    """
    values, posts = dataset.users[name], dataset.users["posts"]
    numeric = values.dtype.is_numeric()
    known = values.is_not_null()
    if numeric:
        known &= values.cast(pl.Float64).is_finite().fill_null(False)
    found = values.filter(known)
    posts_known = int(posts.filter(known).sum())
    about: dict[str, Any] = {
        "name": name,
        "kind": "numeric" if numeric else "categorical",
        "unknown_users": 1 - len(found) / max(len(values), 1),
        "unknown_posts": 1 - posts_known / max(dataset.counts["posts"], 1),
        "distinct": found.n_unique(),
    }
    if numeric:
        return {**about, "range": [found.min(), found.max()] if len(found) else None}
    counted = found.cast(pl.Utf8).alias("value").value_counts(name="users")
    common = counted.sort(["users", "value"], descending=[True, False]).head(_TOP)
    return {**about, "values": dict(common.iter_rows())}


def _split(dataset: Dataset, name: str) -> dict[str, Any]:
    split = open_split(dataset, name)
    return {
        "name": name,
        "by": split.recipe.by,
        "seed": split.recipe.seed,
        "min_hashtag_uses": split.recipe.min_hashtag_uses,
        "cold_users": split.recipe.cold_users,
        "cold_hashtags": split.recipe.cold_hashtags,
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
