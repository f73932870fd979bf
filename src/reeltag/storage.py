"""Writing that survives a power cut: bytes in, a whole file or folder out, or nothing.

A temporary neighbour is written, flushed to the disk (fsync) and renamed over the
target; whoever looks sees the old artefact or the new one, never a piece.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import polars as pl
import tomli_w

from reeltag.errors import InputError, ReelTagError


@contextmanager
def atomic_file(target: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `target`; on a clean exit it becomes `target`.

    On any exception (Ctrl-C and a full disk included) the neighbour is removed and
    `target` is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
        fsync_folder(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; on a clean exit it becomes `target`.

    Raises `InputError` when `target` exists and `replace` is false.
    """
    if target.exists() and not replace:
        raise InputError(
            f"{target} exists already. Expected a new folder: choose another name, "
            "remove it, or pass --replace."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        for folder, _, files in os.walk(temporary):
            for name in files:
                fsync_path(Path(folder) / name)
            fsync_folder(Path(folder))
        if target.exists():
            retired = temporary.with_suffix(".old")
            target.rename(retired)
            temporary.rename(target)
            shutil.rmtree(retired)
        else:
            temporary.rename(target)
        fsync_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def fsync_path(path: Path) -> None:
    """Flush one file's bytes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_folder(folder: Path) -> None:
    """Flush a folder's entries (its names) to the disk."""
    fsync_path(folder)


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target` atomically."""
    with atomic_file(target) as stream:
        stream.write(content)


def write_text(target: Path, content: str) -> None:
    """Write `content` to `target` atomically, as UTF-8."""
    write_bytes(target, content.encode("utf-8"))


def write_parquet(target: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet atomically. Raises `ReelTagError` where the disk refuses."""
    try:
        with atomic_file(target) as stream:
            table.write_parquet(stream)
    except pl.exceptions.PolarsError as fault:
        raise ReelTagError(
            f"{target} could not be written: {fault}. Nothing half-written is left."
        ) from fault


def write_toml(target: Path, content: Mapping[str, Any]) -> None:
    """Write a TOML document atomically; keys whose value is None are left out."""
    write_text(target, tomli_w.dumps(_without_none(content)))


def read_toml(path: Path, error: type[InputError] = InputError) -> dict[str, Any]:
    """Read a TOML document; a damaged one raises `error` with the place of the fault."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise error(f"{path} is not valid TOML: {fault}") from fault


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value if v is not None]
    return value
