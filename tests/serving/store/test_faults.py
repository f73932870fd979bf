"""A full disk, a database that refuses or does not answer: one clear error, and on it goes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event
from sqlalchemy.pool import Pool

from reeltag.errors import ConfigError, MissingExtraError, StoreError
from reeltag.serving import check_extra
from reeltag.serving.store import Store, store_url
from reeltag.serving.store.database import Database
from tests.serving.postgres import Server
from tests.serving.store.posts import POST, post


@contextmanager
def pragma(statement: str) -> Iterator[None]:
    """Every new connection to SQLite gets a pragma."""

    def give(connection: Any, _: Any) -> None:
        connection.execute(statement)

    event.listen(Pool, "connect", give)
    try:
        yield
    finally:
        event.remove(Pool, "connect", give)


@pytest.fixture
def postgres_url(postgres: Server) -> str:
    return postgres.new_database()


def ask(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_a_full_sqlite_says_so_and_keeps_all(tmp_path: Path) -> None:
    with pragma("PRAGMA max_page_count=60"):
        store = Store.open(f"sqlite:///{tmp_path}/it.sqlite")
        kept: list[str] = []

        def write_on() -> None:
            for n in range(200):
                store.save_post(post(post=f"p{n}", user=f"u{n % 2}", caption="x" * 3000))
                kept.append(f"p{n}")

        with pytest.raises(StoreError, match=r"could not be written: .*full.*room on its disk"):
            write_on()
        assert [p.post for _, p in store.posts()] == kept
        with pytest.raises(StoreError, match="full"):
            store.save_post(post(post="once more", caption="x" * 10_000))
        store.erase_user("acme", "u0")
        assert store.save_post(post(post="after")) is not None
        assert store.count("posts") == len(kept) // 2 + 1
        assert store.user("acme", "u0").posts == 0
        store.close()


def test_a_full_postgresql_says_so(postgres_url: str) -> None:
    """The server itself says what it says where the disk is full, told so by a trigger."""
    store = Store.open(postgres_url)
    ask(
        postgres_url,
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: No space left' USING ERRCODE = 'disk_full';
        END $$; CREATE TRIGGER full_disk BEFORE INSERT ON posts EXECUTE FUNCTION full_disk()""",
    )
    with pytest.raises(StoreError, match="No space left"):
        store.save_post(POST)
    ask(postgres_url, "DROP TRIGGER full_disk ON posts")
    assert store.save_post(POST) is not None
    store.close()


def test_a_sqlite_that_may_only_be_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/it.sqlite"
    store = Store.open(url)
    store.save_post(POST)
    store.close()
    with (
        pragma("PRAGMA query_only=ON"),
        pytest.raises(StoreError, match=r"could not be migrated: .*readonly.*may be written"),
    ):
        Store.open(url)
    store = Store.open(url)
    assert [kept for _, kept in store.posts()] == [POST]
    store.close()


def test_a_postgresql_that_may_only_be_read(postgres_url: str) -> None:
    Store.open(postgres_url).close()
    name = postgres_url.split("/")[3].split("?")[0]
    ask(postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store = Store.open(postgres_url)
    with pytest.raises(StoreError, match=r"read-only.*may be written"):
        store.save_post(POST)
    assert list(store.posts()) == []
    store.close()


def test_lost_connections_are_made_anew(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    store.save_post(POST)
    ask(
        postgres_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert store.save_post(post(post="p2")) is not None
    assert store.count("posts") == 2
    store.close()


def test_another_process_that_writes_for_ever(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reeltag.serving.store.database.WAIT", 1)
    store, other = Store.open(url), Database(url)
    go_on, busy = Event(), Event()

    def hold(_: Connection) -> None:
        busy.set()
        assert go_on.wait(60)

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(other.write, hold)
        assert busy.wait(60)
        with pytest.raises(StoreError, match="lock"):
            store.save_post(POST)
        assert store.count("posts") == 0  # who reads waits for nobody
        go_on.set()
        job.result()
    assert store.save_post(POST) is not None
    store.close()
    other.close()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgresql://me:hunter2@/posts?host={tmp_path}"
    with pytest.raises(StoreError, match="could not be") as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)


def test_a_database_that_cannot_keep_every_hashtag(postgres: Server) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(StoreError, match="LATIN1, expected UTF8"):
        Store.open(postgres.url("latin"))


def test_a_file_that_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "it.sqlite"
    file.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{file}")
    with pytest.raises(StoreError, match="No such file"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/it.sqlite")


@pytest.mark.parametrize(
    "url",
    ["mysql://me:hunter2@host/x", "sqlite://", "sqlite:///:memory:", "://", "hunter2", "a:b@c"],
)
def test_urls_of_no_use(url: str) -> None:
    with pytest.raises(ConfigError, match=r"expected sqlite:///FILE") as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)


def test_errors_show_nobodys_data(postgres_url: str) -> None:
    store = Store.open(postgres_url)
    ask(postgres_url, "ALTER TABLE posts ADD CONSTRAINT short CHECK (length(caption) < 5)")
    with pytest.raises(StoreError, match="short") as caught:
        store.save_post(post(caption="a secret caption"))
    assert "secret" not in str(caught.value)
    store.close()


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no ReelTag run"):
        store_url(tmp_path)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra()
    monkeypatch.setitem(sys.modules, "alembic", None)
    with pytest.raises(MissingExtraError, match=r"alembic.*reeltag\[serve\]"):
        check_extra()


def test_a_fault_of_the_code_is_not_hidden(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("reeltag.serving.store.store.best_used", fail)
    with pytest.raises(ZeroDivisionError):
        store.save_post(POST)
    monkeypatch.undo()
    assert store.save_post(POST) is not None
