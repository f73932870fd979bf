"""`reeltag keys`: who may use a service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from reeltag.cli.guard import guarded
from reeltag.cli.show import print_json, print_table
from reeltag.progress import say

if TYPE_CHECKING:
    from reeltag.serving.store import Key, Store

STORE = typer.Option(
    ..., help="Run folder, whose store lies beside it, or URL (sqlite:///..., postgresql://...)."
)
JSON = typer.Option(False, "--json", help="Print one JSON object.")

app = typer.Typer(help="Make, list and revoke the API keys of a service.", no_args_is_help=True)


def create(
    store: str = STORE,
    tenant: str = typer.Option("default", help="Whose users and posts it opens: a-z, 0-9, '-'."),
    scope: list[str] = typer.Option(
        ["read"], help="What it may do: read (recommend), write (publish), admin; repeatable."
    ),
    json: bool = JSON,
) -> None:
    """Make a key and print it, this once: only its hash is stored.

    Example: reeltag keys create --store runs/house --tenant acme --scope read --scope write
    """
    with opened(store) as opened_store:
        plain = opened_store.add_key(tenant, scope)  # type: ignore[arg-type]  # it refuses others
        key = opened_store.key(plain)
    assert key is not None
    if json:
        print_json({"key": plain, **as_json(key)})
        return
    say(f"Key {key.id} of tenant {tenant}. Keep it: it is shown this once.")
    print(plain)


def list_(store: str = STORE, json: bool = JSON) -> None:
    """All keys, revoked ones too; never the keys themselves.

    Example: reeltag keys list --store runs/house
    """
    with opened(store) as opened_store:
        keys = opened_store.keys()
    found = [as_json(key) for key in keys]
    if json:
        print_json({"keys": found})
        return
    columns = ["id", "tenant", "scopes", "created", "revoked"]
    rows = [
        [*(key[name] for name in columns[:2]), " ".join(key["scopes"]), key["created"],
         key["revoked"] or ""]
        for key in found
    ]  # fmt: skip
    print_table("Keys", columns, rows, note="" if rows else "None yet: reeltag keys create")


def revoke(
    key: str = typer.Argument(..., help="Its id, as `reeltag keys list` shows it."),
    store: str = STORE,
    json: bool = JSON,
) -> None:
    """End a key: whoever uses it is refused from now on.

    Example: reeltag keys revoke 1f0c9a52be77 --store runs/house
    """
    with opened(store) as opened_store:
        opened_store.revoke(key)
    if json:
        print_json({"revoked": key})
    else:
        say(f"Key {key} is revoked.")


app.command("create")(guarded(create))
app.command("list")(guarded(list_))
app.command("revoke")(guarded(revoke))


@contextmanager
def opened(place: str) -> Iterator[Store]:
    """The store of a run folder or URL."""
    from reeltag.serving.store import Store, store_url

    store = Store.open(store_url(place))
    try:
        yield store
    finally:
        store.close()


def as_json(key: Key) -> dict[str, Any]:
    """A key for people: times as text, UTC."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "created": _time(key.created),
        "revoked": None if key.revoked is None else _time(key.revoked),
    }


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
