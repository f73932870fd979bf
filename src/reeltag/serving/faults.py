"""An error in; the status, the kind and the words that a client is told, out.

Every refusal has the form `{"error": {"kind", "message"}}`. What a client can cause is 4xx; 503
says when to ask again, 504 that it took too long, and 500 that it is our fault, without details.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from reeltag.errors import (
    ClipError,
    ConflictError,
    DeadlineError,
    InputError,
    OverloadedError,
    ReelTagError,
    RunError,
    StoreError,
)

STATUS: tuple[tuple[type[ReelTagError], int, str], ...] = (
    (ClipError, 422, "clip"),
    (ConflictError, 409, "conflict"),
    (OverloadedError, 503, "overloaded"),
    (DeadlineError, 504, "deadline"),
    (InputError, 422, "input"),
    (RunError, 422, "run"),
    (StoreError, 503, "store"),
)
"""The first that fits holds."""


class RefusedError(ReelTagError):
    """A request that is refused with a status and a kind of its own."""

    def __init__(
        self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.kind, self.headers = status, kind, dict(headers or {})
        super().__init__(message)


def answer_of(fault: Exception) -> JSONResponse:
    """The answer that tells a client of `fault`."""
    status, kind, message, headers = told(fault)
    return JSONResponse({"error": {"kind": kind, "message": message}}, status, headers)


def told(fault: BaseException) -> tuple[int, str, str, dict[str, str]]:
    """Status, kind, message and headers for `fault`."""
    if isinstance(fault, RefusedError):
        return fault.status, fault.kind, str(fault), fault.headers
    if isinstance(fault, RequestValidationError | ValidationError):
        return 422, "input", sentence_of(fault), {}
    if isinstance(fault, HTTPException):
        kind = HTTPStatus(fault.status_code).name.lower()
        return fault.status_code, kind, f"{fault.detail}.", dict(fault.headers or {})
    for error, status, kind in STATUS:
        if isinstance(fault, error):
            message = f"The clip was not read: {fault.reason}." if kind == "clip" else str(fault)  # type: ignore[attr-defined]
            wait = {"Retry-After": str(getattr(fault, "retry_after", 1))} if status == 503 else {}
            return status, kind, message, wait
    return 500, "internal", "The service made a mistake, and noted it. Try again later.", {}


def sentence_of(fault: RequestValidationError | ValidationError) -> str:
    """What is wrong, and where, in one line; never the value, which may be long or private."""
    said = []
    for error in fault.errors()[:5]:
        place = ".".join(str(part) for part in error["loc"] if part != "body")
        said.append(f"{place}: {error['msg']}" if place else str(error["msg"]))
    return "; ".join(said) + "."
