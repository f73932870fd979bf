"""HTTP requests in; how long each took and what asking them cost, out.

The client of `benchmarks.http_service`, in a process of its own: plain sockets that stay open, in
threads, so that it takes little of the processor that the service needs. It imports nothing heavy.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any


@dataclass(frozen=True)
class Load:
    """What came of many requests."""

    taken: list[float]
    """Milliseconds of each."""
    wall: float
    """Seconds of all together."""
    cpu: float
    """Seconds of processor time that the client took."""
    published: int
    """Posts that another thread published meanwhile."""


class Connection:
    """One that stays open. Raises `RuntimeError` for an answer that is none."""

    def __init__(self, address: str) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._host = host
        self._socket = socket.create_connection((host, int(port)), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, path: str, body: bytes, kind: str = "application/json") -> bytes:
        """The answer's body."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body)
        told, end = b"", -1
        while end < 0:
            told += self._more()
            end = told.find(b"\r\n\r\n")
        lines = told[:end].lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        told = told[end + 4 :]
        while len(told) < length:
            told += self._more()
        if b" 20" not in lines[0]:
            raise RuntimeError(f"The service answered {lines[0]!r}: {told[:200]!r}")
        return told

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _more(self) -> bytes:
        came = self._socket.recv(1 << 16)
        if not came:
            raise RuntimeError("The service closed the connection.")
        return came


def load(
    address: str, asked: Sequence[bytes], callers: int, published: Sequence[bytes] = ()
) -> Load:
    """Ask `callers` at a time, each one again as soon as it is answered.

    Args:
        asked: bodies for /v1/recommend, each sent once.
        published: bodies for /v1/posts, sent meanwhile, one after the other.
    """
    done, told = Event(), []

    def ask(part: Sequence[bytes]) -> list[float]:
        connection, taken = Connection(address), []
        for body in part:
            start = time.perf_counter()
            connection.post("/v1/recommend", body)
            taken.append(1e3 * (time.perf_counter() - start))
        connection.close()
        return taken

    def publish() -> None:
        connection = Connection(address)
        for body in published:
            if done.is_set():
                break
            connection.post("/v1/posts", body)
            told.append(body)
        connection.close()

    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(callers + 1) as people:
        parts = [asked[caller::callers] for caller in range(callers)]
        publishing = people.submit(publish)
        taken = [ms for part in people.map(ask, parts) for ms in part]
        wall = time.perf_counter() - wall
        done.set()
        publishing.result()
    return Load(taken, wall, time.process_time() - cpu, len(told))


def form(fields: dict[str, str], clip: bytes) -> tuple[bytes, str]:
    """A form with a clip, and its content type."""
    parts = [
        f'--part\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append('--part\r\nContent-Disposition: form-data; name="clip"; filename="c"\r\n\r\n')
    body = "".join(parts).encode() + clip + b"\r\n--part--\r\n"
    return body, "multipart/form-data; boundary=part"


def ask_for_clips(address: str, body: bytes, kind: str, times: int) -> list[dict[str, Any]]:
    """The timings (ms) of `times` equal requests, one after the other; "wall" is the client's."""
    connection, found = Connection(address), []
    for _ in range(times):
        start = time.perf_counter()
        told = json.loads(connection.post("/v1/recommend", body, kind))
        found.append({**told["timing_ms"], "wall": 1e3 * (time.perf_counter() - start)})
    connection.close()
    return found
