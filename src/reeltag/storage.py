"""Writing that survives a power cut: bytes in, a whole file or folder out, or nothing.

A temporary neighbour is written, flushed to the disk (fsync) and renamed over the
target; whoever looks sees the old artefact or the new one, never a piece. What the disk
refuses becomes a `WriteError` that names the file. What a killed process leaves is a hidden
neighbour that nobody has locked; who writes beside it next removes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import tomli_w
from numpy.typing import NDArray

from reeltag.checksums import sha256_of as sha256_of
from reeltag.checksums import signed, unsigned
from reeltag.errors import InputError, ReelTagError, WriteError

_SUFFIX = ".reeltag-tmp"
_LEFT = re.compile(r"\..+\.[a-z0-9_]{8}" + re.escape(_SUFFIX))
_HERE, _EXCHANGE = -100, 2
"""Linux' AT_FDCWD and RENAME_EXCHANGE."""


@contextmanager
def atomic_file(target: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `target`; on a clean exit it becomes `target`.

    On any exception (Ctrl-C and a full disk included) the neighbour is removed and
    `target` is as it was. Raises `WriteError` where the disk refuses.
    """
    handle, temporary = _begin(target, tempfile.mkstemp)
    try:
        with telling(target, temporary), os.fdopen(handle, "wb") as stream:
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

    Raises `InputError` when `target` exists and `replace` is false, `WriteError` where the
    disk refuses.
    """
    if target.exists() and not replace:
        raise InputError(
            f"{target} exists already. Expected a new folder: choose another name, "
            "remove it, or pass --replace."
        )
    handle, temporary = _begin(target, _new_folder)
    try:
        with telling(target, temporary):
            temporary.chmod(0o755)
            yield temporary
            for folder, _, files in os.walk(temporary):
                for name in files:
                    fsync_path(Path(folder) / name)
                fsync_folder(Path(folder))
            move = _exchange if target.exists() else Path.rename
            move(temporary, target)
            try:
                fsync_folder(target.parent)
            except OSError:
                move(target, temporary)
                raise
        if move is _exchange:
            shutil.rmtree(temporary, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(handle)


def _begin(target: Path, make: Callable[..., tuple[int, str]]) -> tuple[int, Path]:
    """A new temporary neighbour, open and locked for as long as this process lives."""
    make_folder(target.parent)
    with telling(target):
        _sweep(target.parent)
        while True:
            handle, name = make(prefix=f".{target.name}.", suffix=_SUFFIX, dir=target.parent)
            if _lock(handle) and os.path.exists(name):
                return handle, Path(name)
            os.close(handle)  # somebody took it for left behind, and is removing it


def _new_folder(**where: Any) -> tuple[int, str]:
    name = tempfile.mkdtemp(**where)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY), name


def _lock(handle: int) -> bool:
    """Lock until `handle` is closed; False where another has. Some file systems cannot lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@cache
def _sweep(folder: Path) -> None:
    """Remove what killed processes left in `folder`; once a process."""
    for path in [Path(entry) for entry in os.scandir(folder) if _LEFT.fullmatch(entry.name)]:
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        except OSError:
            continue  # it is being written, or nobody can tell
        finally:
            os.close(handle)


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change names, in one step where the system can (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        names = os.fsencode(one), os.fsencode(other)
        if libc.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0:
            return
    aside = one.with_suffix(".old")
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(one)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, so that a power cut leaves them there.

    Raises `WriteError` where it cannot.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with telling(folder):
        folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)


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


@contextmanager
def telling(target: Path, temporary: Path | None = None) -> Iterator[None]:
    """Whatever the disk refuses in the block becomes a `WriteError` with the file's last name."""
    try:
        yield
    except OSError as fault:
        if isinstance(fault, WriteError):
            names, reason = [fault.file], fault.reason
        else:
            names = [Path(name) for name in (fault.filename, fault.filename2) if name is not None]
            reason = fault.strerror or str(fault)
        for name in names or [target]:
            if temporary is not None and name.is_relative_to(temporary):
                last = target / name.relative_to(temporary)
            elif name.is_relative_to(target):
                last = name
            elif name.parent == target.parent and _LEFT.fullmatch(name.name):
                last = target
            else:
                continue
            raise WriteError(last, reason, fault.errno) from fault
        raise  # of another file, such as one that was read


def write_bytes(target: Path, *pieces: bytes | memoryview) -> None:
    """Write `pieces`, one after the other, to `target` atomically."""
    with atomic_file(target) as stream:
        for piece in pieces:
            stream.write(piece)


def write_text(target: Path, content: str) -> None:
    """Write `content` to `target` atomically, as UTF-8."""
    write_bytes(target, content.encode("utf-8"))


def write_parquet(target: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet atomically."""
    with atomic_file(target) as stream:
        try:
            table.write_parquet(stream)
        except pl.exceptions.PolarsError as fault:
            raise WriteError(target, str(fault)) from fault


def write_array(target: Path, array: NDArray[Any]) -> None:
    """Write an array as `.npy` atomically, without pickles."""
    with atomic_file(target) as stream:
        np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


def reserve(file: Path, size: int, stream: IO[bytes]) -> None:
    """Have the disk keep `size` bytes for an open file that will be mapped.

    A full disk says so here (`WriteError`); later it would kill the process.
    """
    with telling(file):
        os.posix_fallocate(stream.fileno(), 0, size)


def write_toml(target: Path, content: Mapping[str, Any]) -> None:
    """Write a TOML document and its checksum atomically; keys whose value is None are left out."""
    write_text(target, signed(tomli_w.dumps(_without_none(content))))


def read_toml(path: Path, error: type[ReelTagError] = InputError) -> dict[str, Any]:
    """Read a TOML document; a damaged one raises `error` with the place of the fault."""
    try:
        return tomllib.loads(unsigned(path.read_text(encoding="utf-8")))
    except ValueError as fault:
        raise error(f"{path} is not valid TOML: {fault}.") from fault


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value if v is not None]
    return value
