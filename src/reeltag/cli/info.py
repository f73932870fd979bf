"""`reeltag info`: what a dataset holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from reeltag.cli.show import print_json, print_table
from reeltag.data.dataset import Dataset
from reeltag.data.summary import summary


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Counts, distribution of hashtags and users, users' fields, features and splits.

    Example: reeltag info news --json
    """
    opened = Dataset.open(dataset)
    if json:
        print_json(summary(opened))
    else:
        show_info(opened)


def show_info(dataset: Dataset) -> None:
    """Print a dataset's summary as tables."""
    found = summary(dataset)
    print_table(f"{dataset.path}", ["what", "count"], found["counts"].items())
    print_table(
        "Distribution",
        ["per", "mean", "median", "90 %", "most"],
        [
            [what, d["mean"], d["median"], d["p90"], d["most"]]
            for what, d in found["distribution"].items()
        ],
    )
    if found["top_hashtags"]:
        tops = ", ".join(f"#{tag} ({uses:,})" for tag, uses in found["top_hashtags"].items())
        print_table("Most used hashtags", ["hashtag (uses)"], [[tops]])
    print_table(
        "What is known about users",
        ["field", "kind", "values or range", "unknown users", "unknown posts"],
        [
            [
                field["name"],
                field["kind"],
                _values(field),
                f"{field['unknown_users']:.1%}",
                f"{field['unknown_posts']:.1%}",
            ]
            for field in found["fields"]
        ],
        note="" if found["fields"] else "Nothing: reeltag import --user-field or --users",
    )
    print_table(
        "Features",
        ["name", "kind", "shape", "dtype", "present"],
        [
            [f["name"], f["kind"], "×".join(map(str, f["shape"])), f["dtype"], f["present"]]
            for f in found["features"]
        ],
        note="" if found["features"] else "None yet: reeltag extract",
    )
    print_table(
        "Splits",
        ["name", "by", "seed", "train", "validation", "test"],
        [
            [s["name"], s["by"], s["seed"], *(s["counts"][p] for p in s["counts"])]
            for s in found["splits"]
        ],
        note="" if found["splits"] else "None yet: reeltag split",
    )


def _values(field: Mapping[str, Any]) -> str:
    """The field's range, or its most common values with their users."""
    if field["kind"] == "numeric":
        return "none" if field["range"] is None else "{} to {}".format(*field["range"])
    shown = ", ".join(f"{value} ({users:,})" for value, users in field["values"].items())
    more = field["distinct"] - len(field["values"])
    return (shown or "none") + (f" and {more:,} more" if more else "")
