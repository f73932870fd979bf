"""`reeltag import`: a dataset folder from somebody's files."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.cli.info import show_info
from reeltag.cli.pairs import pairs_of
from reeltag.progress import say


def command(
    source: Path = typer.Argument(..., help="File or folder to read."),
    dataset: Path = typer.Argument(..., help="Dataset folder to write."),
    format_: str = typer.Option(
        "auto", "--format", help="auto, jsonl, csv, parquet, folder (clips) or gcn-phr."
    ),
    map_: list[str] = typer.Option(
        [],
        "--map",
        help="FIELD=COLUMN; fields: post user hashtags caption time clip split place music.",
    ),
    feature: list[str] = typer.Option(
        [], "--feature", help="MODALITY=COLUMN,COLUMN,... numeric or coded columns as a feature."
    ),
    user_field: list[str] = typer.Option(
        [],
        "--user-field",
        help="NAME=COLUMN that says something about the user, such as age=author_age.",
    ),
    users: Path | None = typer.Option(
        None, help="Table of users (jsonl, csv, parquet): one row each, a field a column."
    ),
    rejects: Path | None = typer.Option(
        None, help="Write rows that cannot be read here, with the reason, and go on."
    ),
    replace: bool = typer.Option(False, help="Overwrite DATASET if it is one."),
) -> None:
    """Read posts from jsonl, csv, parquet (also .gz), a folder of clips, or GCN-PHR's arrays.

    Hashtags are taken out of captions: a caption that still holds them gives the answer away.

    What is known about users comes from columns of the posts, a table of users, or both.

    Example: reeltag import posts.csv.gz news --map post=id --map user=author --map hashtags=tags

    Example: reeltag import posts.jsonl news --user-field country=region --users profiles.csv
    """
    from reeltag.data.importers import import_posts

    report = import_posts(
        source,
        dataset,
        format=format_,
        mapping=pairs_of(map_, "--map"),
        features={name: cols.split(",") for name, cols in pairs_of(feature, "--feature").items()},
        user_fields=pairs_of(user_field, "--user-field"),
        users=users,
        rejects=rejects,
        replace=replace,
    )
    say(
        f"Read {report.read:,} rows as {report.format}, kept {report.kept:,} posts "
        f"({report.seconds:.1f} s)."
    )
    for reason, count in report.rejected.items():
        say(f"  left out {count:,}: {reason}")
    for warning in report.warnings:
        say(f"  note: {warning}")
    show_info(report.dataset)
