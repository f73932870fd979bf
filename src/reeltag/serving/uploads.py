"""A multipart request in; its fields and the path of its clip out.

Clips lie in one folder, under names of our own: what a client calls a file is never looked at.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Any
from uuid import uuid4

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from reeltag.errors import InputError, OverloadedError
from reeltag.serving.scratch import Scratch

CLIP = "clip"
_MOST_FIELDS = 64
_AGAIN = 2
"""Seconds after which one whose clip finds no room is to ask again."""
IN_MEMORY = 1 << 16
"""Bytes of a clip until it takes a place on the disk: whoever drips never has one."""
logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every ill-made form


@dataclass
class Form:
    """What a form said: fields by name, and its clip, if there is one with anything in it."""

    fields: dict[str, str] = field(default_factory=dict)
    clip: Path | None = None


class Uploads:
    """Forms with clips, of which `most` lie on the disk at once, in `folder`.

    A place is taken once a clip is whole, or `IN_MEMORY` bytes of it came: what comes so slowly
    that it is refused soon takes none from others.

    Args:
        folder: made anew; None: a private one that nobody foresees (`Scratch`).
        field_bytes: of all fields of a form and of what heads its parts, together.
    Raises `OSError` where the folder cannot be made.
    """

    def __init__(self, folder: Path | None, most: int, field_bytes: int) -> None:
        self.most, self.open = most, 0
        self._field_bytes = field_bytes
        self._scratch = Scratch() if folder is None else None
        if folder is None:
            assert self._scratch is not None
            self.folder = self._scratch.path
        else:
            shutil.rmtree(folder, ignore_errors=True)  # what a killed service left
            folder.mkdir(mode=0o700, parents=True)
            self.folder = folder

    def close(self) -> None:
        """Remove the folder."""
        if self._scratch is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self._scratch.close()

    def _place(self, held: ExitStack) -> Path:
        """A path for a clip, which is removed when `held` ends.

        Raises `OverloadedError` where there are as many as may be.
        """
        if self.open >= self.most:
            raise OverloadedError(f"{self.open} clips are being uploaded and read already.", _AGAIN)
        path = self.folder / uuid4().hex
        self.open += 1

        def leave() -> None:
            self.open -= 1
            path.unlink(missing_ok=True)

        held.callback(leave)
        return path

    @asynccontextmanager
    async def read(self, kind: str, body: AsyncIterator[bytes]) -> AsyncIterator[Form]:
        """Read a form; its clip, if it has one, is there until the end.

        Args:
            kind: the request's Content-Type.
        Raises `InputError` for what is no multipart form, or one with too much in it, and
        `OverloadedError`, as soon as a clip needs a place, where there is none or the disk is full.
        """
        name, options = parse_options_header(kind)
        boundary = options.get(b"boundary", b"")
        if name != b"multipart/form-data" or not 1 <= len(boundary) <= 200:
            raise InputError(f"Got Content-Type {kind[:80]!r}, expected multipart/form-data.")
        with ExitStack() as held:
            reader = _Reader(lambda: self._place(held), self._field_bytes)
            try:
                parser = MultipartParser(boundary, reader.callbacks())
                async for block in body:
                    parser.write(block)
                parser.finalize()
                form = reader.form()
            except FormParserError as fault:
                raise InputError(f"The form is not well made: {fault}") from fault
            except OSError as fault:
                message = f"The clip cannot be written ({fault.strerror or fault})."
                raise OverloadedError(message, 10 * _AGAIN) from fault
            finally:
                reader.close()
            yield form


class _Reader:
    """The parts of a form as they come."""

    def __init__(self, place: Callable[[], Path], field_bytes: int) -> None:
        self._place, self._left = place, field_bytes
        self._headers: dict[bytes, bytes] = {}
        self._key = self._value = b""
        self._name = ""
        self._found: dict[str, bytearray] = {}
        self._clip: bytearray | None = None
        self._path: Path | None = None
        self._file: BufferedWriter | None = None
        self._ended = False

    def callbacks(self) -> Any:
        """For the parser."""
        names = ("part_begin", "part_data", "headers_finished", "end")
        heads = ("header_field", "header_value", "header_end")
        return {f"on_{name}": getattr(self, f"_{name}") for name in (*names, *heads)}

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # of a disk that is full, which was told already
                self._file.close()

    def form(self) -> Form:
        if not self._ended:
            raise InputError("The form ends before its last boundary: send it again.")
        try:
            fields = {name: value.decode() for name, value in self._found.items()}
        except UnicodeDecodeError as fault:
            raise InputError("Got a field that is not UTF-8, expected UTF-8 text.") from fault
        if self._clip:
            self._write()
        return Form(fields, self._path)

    def _part_begin(self) -> None:
        self._headers, self._key, self._value = {}, b"", b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._spend(end - start)
        self._key += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._spend(end - start)
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._key.lower()] = self._value
        self._key = self._value = b""

    def _headers_finished(self) -> None:
        said = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(said)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == CLIP:
            if self._clip is not None:
                raise InputError("Got two clips, expected one.")
            self._clip = bytearray()
            return
        if self._name in self._found:
            raise InputError(f"Got the field {self._name[:80]!r} twice, expected it once.")
        if len(self._found) >= _MOST_FIELDS:
            raise InputError(f"Got more than {_MOST_FIELDS} fields, expected fewer.")
        self._found[self._name] = bytearray()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == CLIP:
            assert self._clip is not None
            self._clip += memoryview(data)[start:end]
            if len(self._clip) >= IN_MEMORY:
                self._write()
            return
        self._spend(end - start)
        self._found[self._name] += data[start:end]

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InputError("The fields of the form are too long: a clip belongs in `clip`.")

    def _write(self) -> None:
        """Put on the disk what came of the clip."""
        assert self._clip is not None
        if self._file is None:
            self._path = self._place()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "wb")
        self._file.write(self._clip)
        self._file.flush()
        self._clip.clear()

    def _end(self) -> None:
        self._ended = True
