"""A stored file in, whether it is the one that was written: damage is named, never used.

    files of a folder  their SHA-256 stand in the folder's TOML document      `check_file`
    TOML               its first line is a comment with that of all others    `signed`, `unsigned`
    safetensors        its header holds that of itself and the rest           `sealed`, `check_seal`

What an earlier release wrote without a checksum is taken as it is.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import IO

from reeltag.errors import ReelTagError

SEAL = {"seal": "0" * 64}
"""Stands in the metadata of what is to be `sealed`, where its checksum comes."""
_SIGNED = re.compile(r"# sha256 ([0-9a-f]{64})\n")
_SEAL = re.compile(rb'"seal\\?": ?\\?"([0-9a-f]{64})')
_LONGEST_HEADER = 100 << 20
_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_file(path: Path, sha256: str | None, error: type[ReelTagError], hint: str) -> None:
    """Raise `error`, naming the file, where it is absent or its SHA-256 is another.

    One that did not change since this process checked it is not read again; None: not known.
    """
    if sha256 is None:
        return
    try:
        about = path.stat()
        found = _seen(path, about.st_ino, about.st_size, about.st_mtime_ns)
    except OSError as fault:
        raise error(f"{path} is missing or damaged ({fault.strerror}). {hint}") from fault
    if found != sha256:
        raise error(f"{path} is missing or damaged (its checksum differs). {hint}")


@lru_cache(maxsize=1 << 14)
def _seen(path: Path, *_: int) -> str:
    return sha256_of(path)


def signed(text: str) -> str:
    """A TOML document with its own checksum on top."""
    return f"# sha256 {hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def unsigned(text: str) -> str:
    """What was `signed`, or any other document. Raises `ValueError` where it was changed."""
    found = _SIGNED.match(text)
    if found is None:
        return text
    content = text[found.end() :]
    if hashlib.sha256(content.encode()).hexdigest() != found[1]:
        raise ValueError(
            "its checksum differs, so it is damaged. If you changed it yourself, remove its "
            "first line"
        )
    return content


def sealed(
    content: bytes | memoryview, *rest: bytes | memoryview
) -> tuple[bytes | memoryview, ...]:
    """A safetensors file in whose metadata `SEAL` stands, with its checksum in that place.

    In pieces, one after the other, the first with the whole header: large ones are not copied.
    """
    found = _SEAL.search(content[: _head_size(bytes(content[:8]))])
    if found is None:
        raise ValueError("There is no SEAL in the metadata.")
    digest = hashlib.sha256(content)
    for piece in rest:
        digest.update(piece)
    view = memoryview(content)
    named = digest.hexdigest().encode()
    return view[: found.start(1)], named, view[found.end(1) :], *rest


def check_seal(path: Path) -> None:
    """Raise `ValueError` where a sealed safetensors file was changed, `OSError` if unreadable."""
    with path.open("rb") as stream:
        head = _head(stream)
        found = _SEAL.search(head)
        if found is None:
            return
        start, end = found.span(1)
        digest = hashlib.sha256(head[:start] + SEAL["seal"].encode() + head[end:])
        while block := stream.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest().encode() != found[1]:
        raise ValueError("its checksum differs")


def _head(stream: IO[bytes]) -> bytes:
    size = stream.read(8)
    return size + stream.read(min(_head_size(size), _LONGEST_HEADER) - 8)


def _head_size(start: bytes) -> int:
    """Bytes of a safetensors file before its tensors."""
    return 8 + int.from_bytes(start, "little")
