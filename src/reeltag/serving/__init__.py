"""A trained run in, a service out: hashtags over HTTP, and a store of what people published."""

from __future__ import annotations

from importlib.util import find_spec

from reeltag.errors import MissingExtraError

LIBRARIES = (
    "fastapi",
    "uvicorn",
    "python_multipart",
    "sqlalchemy",
    "alembic",
    "psycopg",
    "prometheus_client",
)
"""What the extra `serve` brings."""


def check_extra() -> None:
    """Raises `MissingExtraError` where a library of the service is absent."""
    for library in LIBRARIES:
        if find_spec(library) is None:
            raise MissingExtraError(f"{library}, which the service needs,", "serve")


check_extra()  # here, so that the modules of this room can import them first thing
