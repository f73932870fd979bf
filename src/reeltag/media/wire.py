"""Messages on a pipe: a JSON header and raw bytes go in, and come out at the other end.

    4 bytes  length of the header, little-endian
    header   UTF-8 JSON; its key "bytes" is the length of what follows
    body     raw bytes
No pickle: a clip that took over the child could answer with one.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterable
from typing import Any

MAX_HEADER = 1 << 24


class ClosedError(Exception):
    """The other end of the pipe is gone."""


class LateError(Exception):
    """The other end did not answer in time."""


class GarbledError(Exception):
    """The answer is not a message, or is larger than what was asked for."""


def send(descriptor: int, header: dict[str, Any], body: Iterable[bytes | memoryview] = ()) -> None:
    """Write one message whole. Raises `ClosedError`."""
    parts = [memoryview(part).cast("B") for part in body if len(part)]
    text = json.dumps({**header, "bytes": sum(len(part) for part in parts)}).encode()
    try:
        for part in (memoryview(len(text).to_bytes(4, "little") + text), *parts):
            done = 0
            while done < len(part):
                done += os.write(descriptor, part[done : done + (1 << 20)])
    except (BrokenPipeError, OSError) as fault:
        raise ClosedError(str(fault)) from fault


def receive(
    descriptor: int, *, deadline: float | None = None, max_bytes: int = 0
) -> tuple[dict[str, Any], memoryview]:
    """Read one message. `deadline` is in `time.monotonic`.

    Raises `ClosedError`, `LateError` past the deadline, `GarbledError`.
    """
    length = int.from_bytes(_exactly(descriptor, 4, deadline), "little")
    if length > MAX_HEADER:
        raise GarbledError(f"a header of {length} bytes")
    try:
        header = json.loads(bytes(_exactly(descriptor, length, deadline)))
        size = header["bytes"]
    except (ValueError, KeyError, TypeError) as fault:
        raise GarbledError("a header that is no JSON object") from fault
    if not isinstance(size, int) or not 0 <= size <= max_bytes:
        raise GarbledError(f"{size} bytes where at most {max_bytes} were asked for")
    return header, _exactly(descriptor, size, deadline)


def _exactly(descriptor: int, size: int, deadline: float | None) -> memoryview:
    buffer = memoryview(bytearray(size))
    done = 0
    while done < size:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not _readable(descriptor, left):
                raise LateError
        got = os.readv(descriptor, [buffer[done : done + (1 << 20)]])
        if not got:
            raise ClosedError("the pipe ended")
        done += got
    return buffer


def _readable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(seconds * 1000))
