"""A connection in; requests for the application out, of clients who may be slow or hostile.

What the server below us leaves open is closed here: a head that never ends, an answer that is
never read, connections without number. `Body` sees to slow bodies.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from reeltag.serving.settings import ServeSettings


class Guarded(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """One connection; refuses in the one form, and gives up on whoever holds it for nothing."""

    head_seconds = 10.0
    """From the first byte of a request, or from connecting, until its head is whole."""
    read_seconds = 30.0
    """Time in which a client takes in `read_bytes` of an answer that waits."""
    read_bytes = 64_000
    most = 512
    """Connections at once."""

    _head: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(503, "overloaded", f"{self.most} connections are open already.")
        else:
            self._head = self.loop.call_later(self.head_seconds, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Pass on what came; watch how long a head takes."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._end_head()
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self.head_seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        self._end_reading()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Let the application wait, and see whether the client reads on."""
        super().pause_writing()
        self._end_reading()
        self._look_again()

    def resume_writing(self) -> None:
        """The client has read nearly all."""
        self._end_reading()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Tell that what came is no HTTP."""
        self._refuse(400, "bad_request", f"{msg} Expected HTTP/1.1.")

    def _refuse(self, status: int, kind: str, message: str) -> None:
        body = json.dumps({"error": {"kind": kind, "message": message}})
        again = "Retry-After: 2\r\n" if status == 503 else ""
        self.transport.write(
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{again}Connection: close\r\n\r\n{body}".encode()
        )
        self.transport.close()

    def _give_up(self) -> None:
        self.transport.abort()

    def _look_again(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self.read_seconds, self._look, left)

    def _look(self, before: int) -> None:
        if self.transport.get_write_buffer_size() > before - self.read_bytes:
            self._give_up()
        else:
            self._look_again()

    def _end_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None


def server_of(app: Any, settings: ServeSettings) -> uvicorn.Server:
    """The server of an application, as `reeltag serve` runs it."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Guarded,
            lifespan="on",
            log_level="error",
            server_header=False,
            timeout_graceful_shutdown=settings.stop_seconds,
            timeout_keep_alive=15,
        )
    )
