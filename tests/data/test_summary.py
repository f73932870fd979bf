"""What there is to know of a dataset at a glance: the fields of its users."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.data.summary import summary


def test_fields_of_the_users(tmp_path: Path) -> None:
    posts = pl.DataFrame(
        {
            "post": [str(n) for n in range(8)],
            "user": ["a", "a", "a", "b", "b", "c", "d", None],
            "hashtags": [["x"]] * 8,
        }
    )
    known = pl.DataFrame(
        {
            "user": ["a", "b", "c", "d"],
            "gender": ["f", "m", "f", None],
            "age": [None, float("nan"), 23.5, -1.0],
            "nothing": pl.Series([None] * 4, dtype=pl.Float64),
        }
    )
    made = Dataset.create(tmp_path / "d", posts, source={}, users=known)
    gender, age, nothing = summary(made)["fields"]
    assert gender == {
        "name": "gender",
        "kind": "categorical",
        "unknown_users": 0.25,
        "unknown_posts": 0.25,  # that of d, and that of nobody
        "distinct": 2,
        "values": {"f": 2, "m": 1},
    }
    assert (age["kind"], age["range"], age["distinct"]) == ("numeric", [-1.0, 23.5], 2)
    assert (age["unknown_users"], age["unknown_posts"]) == (0.5, 0.75)
    assert (nothing["range"], nothing["unknown_users"]) == (None, 1.0)


def test_only_the_most_common_values_are_listed(tmp_path: Path) -> None:
    users = [f"u{n:02}" for n in range(40)]
    posts = pl.DataFrame({"post": users, "user": users, "hashtags": [["x"]] * 40})
    towns = pl.DataFrame({"user": users, "count": [f"t{n % 20:02}" for n in range(40)]})
    made = Dataset.create(tmp_path / "d", posts, source={}, users=towns)
    (field,) = summary(made)["fields"]
    assert field["distinct"] == 20
    assert list(field["values"]) == [f"t{n:02}" for n in range(10)]


def test_without_fields_the_list_is_empty(dataset: Dataset) -> None:
    found = summary(dataset)
    assert found["fields"] == []
    assert json.dumps(found)
