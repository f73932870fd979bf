"""A run in; a folder out that others read without this package: safetensors, Parquet, a card.

model.safetensors     the model's tensors
profiles.safetensors  codes of the known users' fields
hashtags.parquet      name and training uses, row n being id n; users, words, music, place likewise
run.json              what the model is, its settings and features, each tensor, each file's SHA-256
README.md             the model card, and how to read the rest

What reasons are read from (training posts and who posted them) stays behind.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import safe_open

from reeltag.checksums import sha256_of
from reeltag.errors import RunError
from reeltag.storage import atomic_folder, write_text
from reeltag.training.description import check_run, read_description

_TENSORS = ("model.safetensors", "profiles.safetensors")


def export_run(run: Path, out: Path, *, replace: bool = False) -> dict[str, Any]:
    """Write the export of `run` to `out`, whole or not at all; returns its `run.json`.

    All its files are checked first. Raises `RunError` where it is absent
    or damaged, or where `out` is replaced and no export, and `InputError` where `out` exists.
    """
    described = read_description(run)
    check_run(run, described)
    if replace and out.exists() and not (out / "run.json").is_file():
        raise RunError(f"{out} is no export of a run, so it is not replaced.")
    files = [*_TENSORS, *sorted(f for f in described["sha256"] if Path(f).suffix == ".parquet")]
    files = [file for file in files if len(Path(file).parts) == 1]
    tensors = {file: _tensors(run / file) for file in _TENSORS}
    card = (run / "README.md").read_text(encoding="utf-8")
    with atomic_folder(out, replace=replace) as folder:
        for file in files:
            shutil.copyfile(run / file, folder / file)
        write_text(folder / "README.md", card + _reading(tensors, files))
        names = [*files, "README.md"]
        about = {
            **{key: value for key, value in described.items() if key != "sha256"},
            "tensors": tensors,
            "sha256": {name: sha256_of(folder / name) for name in names},
        }
        write_text(folder / "run.json", json.dumps(about, ensure_ascii=False, indent=1) + "\n")
    return about


def _tensors(file: Path) -> dict[str, dict[str, Any]]:
    """Type and shape of each tensor of a file, by name."""
    with safe_open(file, framework="numpy") as stored:
        slices = {name: stored.get_slice(name) for name in sorted(stored.keys())}
        return {n: {"dtype": s.get_dtype(), "shape": s.get_shape()} for n, s in slices.items()}


def _reading(tensors: dict[str, dict[str, dict[str, Any]]], files: list[str]) -> str:
    """The part of the card that says how to read the files."""
    rows = [
        f"| {file} | `{name}` | {said['dtype']} | {said['shape']} |"
        for file, named in tensors.items()
        for name, said in named.items()
    ]
    tables = ", ".join(file for file in files if file.endswith(".parquet"))
    return "\n".join(
        [
            "",
            "## Reading this folder",
            "",
            "```python",
            "import polars, safetensors.numpy",
            "",
            'tensors = safetensors.numpy.load_file("model.safetensors")',
            'hashtags = polars.read_parquet("hashtags.parquet")["name"]  # row n is hashtag n',
            "```",
            "",
            f"Tables (name, count), row n being id n: {tables}. `run.json` says what the model is,",
            "with its settings, features and the SHA-256 of each file.",
            "",
            "| file | tensor | type | shape |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )
