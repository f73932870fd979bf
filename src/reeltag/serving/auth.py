"""A request in; whose it is and what it may do, out.

A key's scopes include those before: admin may write, and who may write may read. Where no key is
needed, the service listens on this machine alone, and everybody on it is the tenant `default`
and may do everything. Web pages of others may not: a request must name this machine as its host,
and come from no other origin.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from reeltag.errors import ConfigError
from reeltag.serving.faults import RefusedError
from reeltag.serving.records import DEFAULT
from reeltag.serving.settings import ServeSettings
from reeltag.serving.store import SCOPES, Key, Scope

_FRESH = 5.0
"""Seconds for which a key that was found is believed: so soon a revoked one is refused."""
_MOST = 1024
_HERE = {"localhost", "127.0.0.1", "::1"}


class KeyStore(Protocol):
    """What is needed of a store."""

    def key(self, plain: str) -> Key | None:
        """What a key may do."""

    def keys(self) -> list[Key]:
        """All keys."""


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    tenant: str
    rank: int
    """Place of the highest scope in `SCOPES`."""


class Doors:
    """Lets callers in, by their keys where keys are needed."""

    def __init__(self, store: KeyStore, settings: ServeSettings) -> None:
        self._store, self._locked = store, settings.locked
        self._known: dict[bytes, tuple[Caller, float]] = {}

    async def caller(self, request: Request) -> Caller:
        """Who asks. Raises `RefusedError` 401 without a key that holds, 403 from elsewhere."""
        scheme, _, plain = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and plain:
            return await self._of_key(plain.strip())
        if self._locked or scheme:
            raise _unknown("A key is needed: send the header `Authorization: Bearer rt_...`.")
        self._check_near(request)
        return Caller(DEFAULT, len(SCOPES) - 1)

    async def _of_key(self, plain: str) -> Caller:
        print_, now = sha256(plain.encode("utf-8", "surrogateescape")).digest(), time.monotonic()
        known = self._known.get(print_)
        if known is not None and known[1] > now:
            return known[0]
        key = await run_in_threadpool(self._store.key, plain)
        if key is None:
            self._known.pop(print_, None)
            raise _unknown("The key is wrong, or was revoked.")
        caller = Caller(key.tenant, max(SCOPES.index(scope) for scope in key.scopes))
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[print_] = caller, now + _FRESH
        return caller

    def _check_near(self, request: Request) -> None:
        try:
            host = urlsplit(f"//{request.headers.get('host', '')}")
            origin = urlsplit(request.headers.get("origin", f"//{host.netloc}"))
            near = host.hostname in _HERE and origin.netloc == host.netloc
        except ValueError:
            near = False
        if not near:
            raise RefusedError(
                403,
                "forbidden",
                "Without a key only programs of this machine, and the page itself, are answered.",
            )


def may(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: who asks, if allowed to do what needs `scope`, else `RefusedError` 403."""

    async def allowed(request: Request) -> Caller:
        doors: Doors = request.app.state.doors
        caller = await doors.caller(request)
        request.state.tenant = caller.tenant
        if caller.rank < SCOPES.index(scope):
            raise RefusedError(403, "forbidden", f"The key may not do this: it takes {scope!r}.")
        return caller

    return allowed


def check_keys(store: KeyStore, settings: ServeSettings, place: str) -> None:
    """Raises `ConfigError` where a key is needed and none could be given."""
    if not settings.locked:
        return
    found = store.keys()
    if all(key.revoked is not None for key in found):
        why = "--keys" if settings.alone else f"host {settings.host}, which others can reach"
        raise ConfigError(
            f"Got {why}, and a store without any key. Expected one: "
            f"reeltag keys create --store {place} --scope write"
        )


def _unknown(message: str) -> RefusedError:
    return RefusedError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})
