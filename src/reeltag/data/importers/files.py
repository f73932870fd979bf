"""A file, gzipped or not, in; its bytes or its numbered lines out."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from reeltag.errors import InputError

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


def is_gzip(source: Path) -> bool:
    """Whether the file starts as gzip does (its name is not asked)."""
    with source.open("rb") as stream:
        return stream.read(2) == _GZIP


def first_bytes(source: Path, count: int = 64) -> bytes:
    """The first `count` bytes after decompression, without a byte order mark."""
    with _open(source) as stream:
        return _read(source, stream, count + len(_BOM)).removeprefix(_BOM)[:count]


def readable(source: Path) -> Path | io.BytesIO:
    """What polars reads fastest: the path itself, or the bytes where it is gzip or has a BOM."""
    with source.open("rb") as stream:
        plain = not stream.read(3).startswith((_GZIP, _BOM))
    return source if plain else io.BytesIO(content(source))


def content(source: Path) -> bytes:
    """All bytes after decompression, without a byte order mark."""
    with _open(source) as stream:
        return _read(source, stream, -1).removeprefix(_BOM)


def lines(source: Path) -> Iterator[bytes]:
    """The lines after decompression, without their ends and a byte order mark."""
    with _open(source) as stream:
        try:
            for number, line in enumerate(stream):
                yield (line if number else line.removeprefix(_BOM)).rstrip(b"\r\n")
        except (OSError, EOFError, zlib.error) as fault:
            raise _damaged(source, fault) from fault


def count_lines(source: Path) -> int:
    """How many lines a plain or gzipped file has."""
    count, last = 0, b"\n"
    with _open(source) as stream:
        while block := _read(source, stream, _BLOCK):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def _open(source: Path) -> io.BufferedIOBase:
    if is_gzip(source):
        return gzip.open(source, "rb")
    return source.open("rb")


def _read(source: Path, stream: io.BufferedIOBase, count: int) -> bytes:
    try:
        return stream.read(count)
    except (OSError, EOFError, zlib.error) as fault:
        raise _damaged(source, fault) from fault


def _damaged(source: Path, fault: Exception) -> InputError:
    return InputError(f"{source} cannot be read to its end: {fault}. Fetch the file again.")
