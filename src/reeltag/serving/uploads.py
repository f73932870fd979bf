"""A multipart request in; its fields and the path of its clip out.

Clips lie in one folder, under names of our own: what a client calls a file is never looked at.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Any
from uuid import uuid4

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from reeltag.errors import InputError, OverloadedError

CLIP = "clip"
_MOST_FIELDS = 64
_AGAIN = 2
"""Seconds after which one whose clip finds no room is to ask again."""


@dataclass
class Form:
    """What a form said: fields by name, and its clip, if there is one with anything in it."""

    fields: dict[str, str] = field(default_factory=dict)
    clip: Path | None = None


class Uploads:
    """At most `most` forms with clips at once, in `folder`.

    Raises `OSError` where the folder cannot be made.
    """

    def __init__(self, folder: Path | None, most: int, field_bytes: int) -> None:
        self.most, self.open = most, 0
        self._field_bytes = field_bytes
        if folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="reeltag-uploads-"))
        else:
            shutil.rmtree(folder, ignore_errors=True)  # what a killed service left
            folder.mkdir(mode=0o700, parents=True)
            self.folder = folder

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A path for a clip; whatever lies there is removed in the end.

        Raises `OverloadedError`, at once, where there are as many as may be.
        """
        if self.open >= self.most:
            raise OverloadedError(f"{self.open} clips are being uploaded and read already.", _AGAIN)
        path = self.folder / uuid4().hex
        self.open += 1
        try:
            yield path
        finally:
            self.open -= 1
            path.unlink(missing_ok=True)

    async def read(self, kind: str, body: AsyncIterator[bytes], path: Path) -> Form:
        """Read a form; its clip is written to `path`.

        Args:
            kind: the request's Content-Type.
        Raises `InputError` for what is no multipart form, or one with too much in it.
        """
        name, options = parse_options_header(kind)
        boundary = options.get(b"boundary", b"")
        if name != b"multipart/form-data" or not 1 <= len(boundary) <= 200:
            raise InputError(f"Got Content-Type {kind[:80]!r}, expected multipart/form-data.")
        reader = _Reader(path, self._field_bytes)
        try:
            parser = MultipartParser(boundary, reader.callbacks())
            async for block in body:
                parser.write(block)
            parser.finalize()
            return reader.form()
        except FormParserError as fault:
            raise InputError(f"The form is not well made: {fault}") from fault
        finally:
            reader.close()


class _Reader:
    """The parts of a form as they come."""

    def __init__(self, path: Path, field_bytes: int) -> None:
        self._path, self._left = path, field_bytes
        self._headers: dict[bytes, bytes] = {}
        self._key = self._value = b""
        self._name = ""
        self._found: dict[str, bytearray] = {}
        self._file: BufferedWriter | None = None
        self._size, self._ended = 0, False

    def callbacks(self) -> Any:
        """For the parser."""
        names = ("part_begin", "part_data", "headers_finished", "end")
        heads = ("header_field", "header_value", "header_end")
        return {f"on_{name}": getattr(self, f"_{name}") for name in (*names, *heads)}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def form(self) -> Form:
        if not self._ended:
            raise InputError("The form ends before its last boundary: send it again.")
        try:
            fields = {name: value.decode() for name, value in self._found.items()}
        except UnicodeDecodeError as fault:
            raise InputError("Got a field that is not UTF-8, expected UTF-8 text.") from fault
        return Form(fields, self._path if self._size else None)

    def _part_begin(self) -> None:
        self._headers, self._key, self._value = {}, b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._key += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._key.lower()] = self._value
        self._key = self._value = b""

    def _headers_finished(self) -> None:
        said = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(said)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == CLIP:
            if self._file is not None:
                raise InputError("Got two clips, expected one.")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
            return
        if self._name in self._found:
            raise InputError(f"Got the field {self._name[:80]!r} twice, expected it once.")
        if len(self._found) >= _MOST_FIELDS:
            raise InputError(f"Got more than {_MOST_FIELDS} fields, expected fewer.")
        self._found[self._name] = bytearray()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == CLIP:
            assert self._file is not None
            self._size += end - start
            self._file.write(data[start:end])
            return
        self._left -= end - start
        if self._left < 0:
            raise InputError("The fields of the form are too long: a clip belongs in `clip`.")
        self._found[self._name] += data[start:end]

    def _end(self) -> None:
        self._ended = True
