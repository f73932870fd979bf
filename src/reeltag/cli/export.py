"""`reeltag export`: a run as plain files."""

from __future__ import annotations

from pathlib import Path

import typer

from reeltag.progress import say


def command(
    run: Path = typer.Argument(..., help="Run folder."),
    out: Path = typer.Option(..., help="Folder to write."),
    replace: bool = typer.Option(False, help="Overwrite the folder if it is an export."),
) -> None:
    """Write a run's tensors, vocabularies and card so that others read them without ReelTag.

    Example: reeltag export runs/house --out house-export
    """
    from reeltag.experiments.export import export_run

    about = export_run(run, out, replace=replace)
    files = len(about["sha256"]) + 1
    say(f"{out}: {about['model']}, {files} files. Its README.md says how to read them.")
