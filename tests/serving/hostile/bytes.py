"""Words and numbers in; the bytes of hostile requests and files out."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from tests.serving.served import Served


def part(content: bytes, name: bytes = b"clip", file: bytes | None = b"a.mp4") -> bytes:
    """One part of a form, with `x` for its boundary; `file` is put as it is."""
    said = b"" if file is None else b'; filename="' + file + b'"'
    head = b'--x\r\nContent-Disposition: form-data; name="' + name + b'"' + said
    return head + b"\r\n\r\n" + content + b"\r\n"


def connected(service: Served) -> socket.socket:
    """A connection to the service."""
    host, port = service.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def head(address: str, kind: str = "multipart/form-data; boundary=x", **more: object) -> bytes:
    """The head of a request for a recommendation; `_` in a name stands for `-`."""
    lines = {"Host": address.removeprefix("http://"), "Content-Type": kind, **more}
    said = "\r\n".join(f"{name.replace('_', '-')}: {value}" for name, value in lines.items())
    return f"POST /v1/recommend HTTP/1.1\r\n{said}\r\n\r\n".encode()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, or is done with one answer."""
    got = b""
    while block := _received(connection):
        got += block
        ended, _, rest = got.partition(b"\r\n\r\n")
        for line in ended.lower().split(b"\r\n"):
            if line.startswith(b"content-length:") and len(rest) >= int(line.split(b":")[1]):
                return got
    return got


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def box(kind: bytes, content: bytes) -> bytes:
    """A box of an mp4 file."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def grown(content: bytes, path: Iterable[bytes], new: bytes) -> bytes:
    """An mp4 with the last box of `path` (each in the one before it) put in place by `new`.

    What stands before it must not move: `moov` lies behind `mdat`.
    """
    at, end, sizes = 0, len(content), []
    for kind in path:
        while True:
            size, found = struct.unpack_from(">I4s", content, at)
            assert at + size <= end, f"there is no {kind!r}"
            if found == kind:
                break
            at += size
        sizes.append((at, size))
        end = at + size
        at += 16 if kind == b"dref" else 8
    (start, old), outer = sizes[-1], sizes[:-1]
    made = bytearray(content[:start] + new + content[start + old :])
    for place, size in outer:
        made[place : place + 4] = struct.pack(">I", size + len(new) - old)
    return bytes(made)


def alias(path: str) -> bytes:
    """A data reference of QuickTime to another file."""
    name = path.rsplit("/", 1)[-1].encode()[:63]
    where = path.encode() + b"\0" * (len(path) % 2)
    record = bytes(10) + b"\4disk".ljust(28, b"\0") + bytes(12)
    record += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    record += struct.pack(">hh", 1, 1) + bytes(16)
    record += struct.pack(">HH", 2, len(path)) + where + struct.pack(">HH", 0xFFFF, 0)
    return box(b"alis", bytes(4) + record.ljust(160, b"\0"))
