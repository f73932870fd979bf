"""Keys open what they should to whom they should, and the database could not forge one."""

from __future__ import annotations

from hashlib import sha256

import pytest

from reeltag.errors import InputError
from reeltag.serving.store import SCOPES, Store
from tests.serving.conftest import Clock
from tests.serving.store.test_erasing import everything


def test_a_key_tells_its_tenant_and_scopes(store: Store, clock: Clock) -> None:
    first, second = store.add_key("acme", {"read"}), store.add_key("other", set(SCOPES))
    key = store.key(first)
    assert key is not None
    assert (key.tenant, key.scopes, key.revoked) == ("acme", {"read"}, None)
    assert key.created == clock.now
    assert first.startswith(f"rt_{key.id}_")
    other = store.key(second)
    assert other is not None
    assert (other.tenant, other.scopes) == ("other", {"read", "write", "admin"})
    assert len({first, second}) == 2
    assert hash(key) != hash(other)
    assert {key, other} == set(store.keys())


def test_only_a_hash_is_at_rest(store: Store, url: str) -> None:
    plain = store.add_key("acme", {"read", "write"})
    secret = plain.split("_", 2)[2]
    assert len(secret) >= 43  # 256 bits
    found = everything(url)
    assert secret.encode() not in found
    assert sha256(secret.encode()).digest() in found


def test_a_wrong_key_is_none(store: Store) -> None:
    plain, other = store.add_key("acme", {"read"}), store.add_key("other", {"read"})
    sign, name, secret = plain.split("_", 2)
    wrong = (
        "",
        "_",
        "__",
        "rt",
        "rt_",
        "rt__",
        name,
        f"{sign}_{name}_",
        f"{sign}_{name}",
        f"{sign}_{other.split('_', 2)[1]}_{secret}",
        f"RT_{name}_{secret}",
        plain[:-1],
        plain + "x",
        plain + "\0",
        plain + "é",
        "\ud800",
        "rt_é_x",
        f"rt_{'x' * 100_000}_y",
        f"{sign}_{name}_{sha256(secret.encode()).hexdigest()}",
    )
    assert [store.key(text) for text in wrong] == [None] * len(wrong)
    assert store.key(plain) is not None


def test_a_revoked_key_is_none(store: Store, clock: Clock) -> None:
    plain, other = store.add_key("acme", {"admin"}), store.add_key("acme", {"read"})
    key = store.key(plain)
    assert key is not None
    clock.now += 5
    store.revoke(key.id)
    clock.now += 5
    store.revoke(key.id)
    assert store.key(plain) is None
    assert store.key(other) is not None
    every = store.keys()
    [kept] = [k for k in every if k.id == key.id]
    assert kept.revoked == clock.now - 5


@pytest.mark.parametrize("name", ["nothing", "", "é", "\0", "\ud800"])
def test_revoking_what_is_not_there(store: Store, name: str) -> None:
    with pytest.raises(InputError, match="reeltag keys list"):
        store.revoke(name)


@pytest.mark.parametrize("scopes", [set(), {"write", "fly"}, ["READ"]])
def test_scopes_that_do_not_exist(store: Store, scopes: set[str]) -> None:
    with pytest.raises(InputError, match="expected some of: read, write, admin"):
        store.add_key("acme", scopes)  # type: ignore[arg-type]
    assert store.keys() == []
