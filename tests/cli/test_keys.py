"""`reeltag keys` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reeltag.cli import app
from reeltag.serving.store import Store


def reeltag(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Run the command; returns (stdout, stderr)."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that is a run as far as its store is concerned."""
    (tmp_path / "run.toml").write_text("format = 1\n")
    return tmp_path


def test_create_list_and_revoke(run: Path) -> None:
    url = f"sqlite:///{run}/serving.sqlite"
    plain, told = reeltag(
        "keys", "create", "--store", run, "--tenant", "acme", "--scope", "read", "--scope", "write"
    )
    assert "shown this once" in told
    made = json.loads(reeltag("keys", "create", "--store", url, "--json")[0])
    assert (made["tenant"], made["scopes"], made["revoked"]) == ("default", ["read"], None)

    store = Store.open(url)
    key = store.key(plain.strip())
    assert key is not None
    assert (key.tenant, key.scopes) == ("acme", {"read", "write"})
    assert store.key(made["key"]) is not None

    reeltag("keys", "revoke", key.id, "--store", run)
    assert store.key(plain.strip()) is None
    store.close()
    listed = json.loads(reeltag("keys", "list", "--store", run, "--json")[0])["keys"]
    assert {k["id"]: k["revoked"] is None for k in listed} == {key.id: False, made["id"]: True}
    table, _ = reeltag("keys", "list", "--store", run)
    assert key.id in table
    for text in (plain.strip(), made["key"]):
        assert text not in table + json.dumps(listed)


def test_what_is_wrong_is_said(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    def refused(*arguments: object, code: int = 2) -> str:
        out, told = reeltag("keys", *arguments, code=code)
        assert out == ""
        return told

    assert "expected some of: read" in refused("create", "--store", run, "--scope", "fly")
    assert "tenant 'A B'" in refused("create", "--store", run, "--tenant", "A B")
    assert "reeltag keys list" in refused("revoke", "nobody", "--store", run)
    nowhere = tmp_path_factory.mktemp("empty")
    assert "no ReelTag run" in refused("list", "--store", nowhere)
    assert not list(nowhere.iterdir())
    assert "expected sqlite:///FILE" in refused("list", "--store", "mysql://host/x")
    assert "No such file" in refused("list", "--store", f"sqlite:///{nowhere}/a/b", code=1)
