"""A request's body in, the same body out, unless it is too large or too slow.

Bytes are counted as they arrive: what Content-Length says is only believed where it is too much.
"""

from __future__ import annotations

import asyncio
import re
import time

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reeltag.errors import OverloadedError, ReelTagError
from reeltag.serving.faults import RefusedError, answer_of
from reeltag.serving.settings import MB, ServeSettings

BODIES = 8
"""Bodies of the largest size, forms apart, that lie in memory together."""
_NUMBER = re.compile("[0-9]+")
_DIGITS = 18
"""Of a length; Python refuses to read numbers of thousands."""
_LINGER = 2.0
"""Seconds for which a body is read on that was refused."""


class Body:
    """ASGI middleware: 413 for a body beyond its limit, 408 for one that comes too slowly.

    503 where the bodies that are not forms, which lie in memory, are too large together.

    A body has `patience` seconds, and one second more for each `slowest` bytes that came: so
    whoever sends steadily may take long, and whoever drips is cut off.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self.app, self.settings = app, settings
        self.held = 0
        """Bytes of bodies in memory."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        counter = _Counter(scope, receive, send, self)
        try:
            counter.check_announced()
            await self.app(scope, counter.receive, counter.send)
        except ClientDisconnect:
            return  # nobody is left to be told
        except Exception as fault:
            if counter.refused is None:
                if not isinstance(fault, RefusedError):
                    raise
                counter.refused = fault
        finally:
            self.held -= counter.held
        if counter.refused is not None and not counter.started:
            answer, counter.refused = answer_of(counter.refused), None
            await answer(scope, receive, counter.send)


class _Counter:
    def __init__(self, scope: Scope, receive: Receive, send: Send, body: Body) -> None:
        self._receive, self._send, self._body, self._settings = receive, send, body, body.settings
        headers = Headers(scope=scope)
        self._form = headers.get("content-type", "").startswith("multipart/")
        self._megabytes = body.settings.body_mb if self._form else body.settings.json_mb
        self._announced = headers.get("content-length", "")
        self._lingers = "expect" not in headers and (
            "transfer-encoding" in headers or self._announced not in ("", "0")
        )
        self._began, self._came, self._more = time.monotonic(), 0, True
        self.refused: ReelTagError | None = None
        self.started, self.held = False, 0

    def check_announced(self) -> None:
        """Refuse a body that says itself that it is too large."""
        said, most = self._announced, self._megabytes * MB
        if _NUMBER.fullmatch(said) and (len(said) > _DIGITS or int(said) > most):
            raise self._too_large()

    async def receive(self) -> Message:
        if not self._more:
            return await self._receive()  # waits for the client to go
        patience = self._settings.patience + self._came / self._settings.slowest
        left = self._began + patience - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            self.refused = RefusedError(
                408,
                "slow",
                f"Got {self._came} bytes of the body in {patience:.0f} s, expected at least "
                f"{self._settings.slowest} a second.",
                {"Connection": "close"},
            )
            raise self.refused from None
        size = len(message.get("body", b""))
        self._came += size
        self._more = bool(message.get("more_body", False))
        if self._came > self._megabytes * MB:
            self.refused = self._too_large()
            raise self.refused
        if not self._form:
            if self._body.held + size > BODIES * self._megabytes * MB:
                self.refused = OverloadedError("Too many bytes of requests wait in memory.", 2)
                raise self.refused
            self._body.held += size
            self.held += size
        return message

    async def send(self, message: Message) -> None:
        if self.refused is not None and not self.started:
            return  # the refusal is the answer, whatever the application made of it
        self.started = True
        last = message["type"] == "http.response.body" and not message.get("more_body")
        if last and self._more and self._lingers:
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _drain(self) -> None:
        """Take in, for a little while, what a client still sends.

        To close the connection at once would take the answer from who reads it only later.
        """
        until = time.monotonic() + _LINGER
        try:
            while self._more and (left := until - time.monotonic()) > 0:
                message = await asyncio.wait_for(self._receive(), left)
                self._more = bool(message.get("more_body", False))
        except TimeoutError:
            return

    def _too_large(self) -> RefusedError:
        message = f"Got a body of more than {self._megabytes} MB, expected at most that."
        return RefusedError(413, "too_large", message, {"Connection": "close"})
