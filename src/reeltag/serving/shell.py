"""Every request in, the same out: measured, never without an answer, with headers for browsers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reeltag.serving.metering import Meter

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
Fail = Callable[[MutableMapping[str, Any], Exception], Awaitable[Response]]


class Shell:
    """ASGI middleware, the outermost of ours; `fail` makes the answer to a fault of our own."""

    def __init__(self, app: ASGIApp, meter: Meter, fail: Fail) -> None:
        self.app, self.meter, self.fail = app, meter, fail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
                route = getattr(scope.get("route"), "path", "none")
                self.meter.request(route, status, time.perf_counter() - began)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as fault:
            answer = await self.fail(scope, fault)
            if not status:
                await answer(scope, receive, send_with_headers)
