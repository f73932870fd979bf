"""`reeltag info`: what a dataset holds."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.show import print_json, print_table
from reeltag.data.dataset import Dataset
from reeltag.data.summary import summary


def command(
    dataset: Path = typer.Argument(..., help="Dataset folder."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Counts, distribution of hashtags and users, features and splits of a dataset."""
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
