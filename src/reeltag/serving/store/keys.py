"""API keys: a tenant and scopes in, a key for people out, of which only a hash is stored.

A key is `rt_<id>_<secret>`. Its secret is 256 random bits, so a plain SHA-256 is enough at rest:
slow hashes (scrypt, Argon2) are for passwords, which can be guessed; nobody can try 2^256 secrets,
and a slow hash would cost every request its time.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, insert, select, update

from reeltag.errors import InputError
from reeltag.serving.store.records import check_tenant
from reeltag.serving.store.tables import KEYS

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_NOBODY = bytes(32)
"""Compared with where there is no such key, so that the answer takes as long."""


@dataclass(frozen=True)
class Key:
    """What a key may do; times in seconds since 1970."""

    id: str
    tenant: str
    scopes: frozenset[Scope]
    created: int = 0
    revoked: int | None = None


def add(connection: Connection, tenant: str, scopes: Collection[Scope], now: int) -> str:
    """Store a new key's hash; the key itself, which is nowhere else.

    Raises `InputError` for a scope that does not exist, or none at all.
    """
    check_tenant(tenant)
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InputError(f"Got scopes {unknown or 'none'}, expected some of: {', '.join(SCOPES)}.")
    name, secret = token_hex(6), token_urlsafe(32)
    held = [scope for scope in SCOPES if scope in scopes]
    row = {"id": name, "tenant": tenant, "scopes": held, "hash": _hash(secret), "created": now}
    connection.execute(insert(KEYS).values(row))
    return f"rt_{name}_{secret}"


def match(connection: Connection, plain: str) -> Key | None:
    """The key that `plain` is, unless there is none or it was revoked.

    Secrets are compared in constant time.
    """
    sign, _, rest = plain.partition("_")
    name, _, secret = rest.partition("_")
    if sign != "rt" or not plain.isascii() or "\0" in plain:
        return None
    row = connection.execute(select(KEYS).where(KEYS.c.id == name)).one_or_none()
    same = hmac.compare_digest(_hash(secret), _NOBODY if row is None else row.hash)
    return _key(row) if same and row is not None and row.revoked is None else None


def every(connection: Connection) -> list[Key]:
    """All keys, revoked ones too, oldest first."""
    return [
        _key(row) for row in connection.execute(select(KEYS).order_by(KEYS.c.created, KEYS.c.id))
    ]


def revoke(connection: Connection, name: str, now: int) -> None:
    """End a key by its id; once more does nothing. Raises `InputError` where there is none."""
    check = select(KEYS.c.id).where(KEYS.c.id == name)
    if not name.isascii() or "\0" in name or connection.scalar(check) is None:
        raise InputError(f"Got key {name!r}, expected the id of one: reeltag keys list shows them.")
    living = update(KEYS).where(KEYS.c.id == name, KEYS.c.revoked.is_(None))
    connection.execute(living.values(revoked=now))


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _key(row: Row[Any]) -> Key:
    return Key(row.id, row.tenant, frozenset(row.scopes), row.created, row.revoked)
