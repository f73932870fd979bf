"""Where exported networks are kept: a file name goes in, its path in the user's cache comes out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from reeltag.errors import ConfigError
from reeltag.storage import atomic_file, sha256_of


def cache_folder() -> Path:
    """`$REELTAG_CACHE`, else `~/.cache/reeltag`."""
    named = os.environ.get("REELTAG_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "reeltag"


def keep_model(file: Path) -> str:
    """Keep a copy of a user's ONNX file under its hash, and return the hash.

    A run finds the very network again by the hash in its manifest, wherever the file went.
    """
    if not file.is_file():
        raise ConfigError(f"Got model file {file}, which does not exist; expected an ONNX file.")
    digest = sha256_of(file)
    target = kept_model(digest)
    if not target.is_file():
        with atomic_file(target) as copy, file.open("rb") as original:
            shutil.copyfileobj(original, copy, 1 << 20)
    return digest


def kept_model(digest: str) -> Path:
    """Where the ONNX file with that SHA-256 is kept (whether it exists or not)."""
    return cache_folder() / f"model-{digest}.onnx"
