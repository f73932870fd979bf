"""Bodies by what they say of their length."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from reeltag.serving.body import Body
from reeltag.serving.settings import ServeSettings


def answered(length: bytes) -> int:
    """The status of a request whose Content-Length is this, and whose body is one byte."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"x"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", length)]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    asyncio.run(Body(app, ServeSettings(run=Path("run")))(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"1", 200),
        (b"", 200),
        (b"-1", 200),
        (b"many", 200),
        ("²".encode("latin-1"), 200),  # a digit to Python's isdigit, and no number to its int
        (b"1000000000000", 413),
        (b"9" * 5000, 413),
    ],
)
def test_lengths_are_believed_where_they_are_too_much(length: bytes, status: int) -> None:
    assert answered(length) == status
