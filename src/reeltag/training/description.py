"""A run's folder in, what its `run.toml` says out, and whether the files it names are whole.

Needs no torch: it is for commands that look at a run without computing with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reeltag.checksums import check_file
from reeltag.errors import RunError
from reeltag.storage import read_toml

FORMAT = 1
EVIDENCE = "evidence"
"""Folder with what reasons are read from."""
PARTS = "scorers"
"""Folder with one folder for each part of a model that was trained by itself."""


def check_run(path: Path, description: Mapping[str, Any], *, evidence: bool = False) -> None:
    """Raise `RunError`, naming the file, where one of a run is missing or damaged.

    Either all but its evidence is looked at, or that alone.
    """
    for file, expected in description["sha256"].items():
        if (Path(file).parts[0] == EVIDENCE) == evidence:
            check_file(path / file, expected, RunError, "Train again.")


def read_description(path: Path) -> dict[str, Any]:
    """`run.toml` of a finished run. Raises `RunError` where there is none."""
    toml = path / "run.toml"
    if not toml.is_file():
        folders = (path, *path.glob(f"{PARTS}/*"))
        unfinished = any((folder / "checkpoint.safetensors").is_file() for folder in folders)
        hint = (
            "It is unfinished: train again with --resume."
            if unfinished
            else "Make one: reeltag train DATASET --model NAME --out RUN"
        )
        raise RunError(f"{path} is no ReelTag run. {hint}")
    description = read_toml(toml, RunError)
    if description.get("format") != FORMAT:
        raise RunError(f"{toml}: got format {description.get('format')}, expected {FORMAT}.")
    return description
