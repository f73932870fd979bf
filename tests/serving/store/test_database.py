"""Transactions: as durable as was asked for, and many writes in one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import sleep

import pytest
from sqlalchemy import Connection, insert, select

from reeltag.errors import StoreError
from reeltag.serving.store import Store
from reeltag.serving.store.database import Database
from reeltag.serving.store.tables import SECRETS
from tests.serving.store.posts import POST


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    made.migrate()
    yield made
    made.close()


def test_a_write_is_as_durable_as_was_asked_for(database: Database) -> None:
    question = "PRAGMA synchronous" if database.embedded else "SHOW synchronous_commit"

    def level(connection: Connection) -> object:
        return connection.exec_driver_sql(question).scalar_one()

    full, normal = (2, 1) if database.embedded else ("on", "off")
    for _ in range(2):
        assert database.write(level) == full
        assert database.write(level, durable=False) == normal


def test_what_waits_is_committed_together(database: Database) -> None:
    """While one write is busy others come: they share the next transaction, durable if one is."""
    busy, go_on = Event(), Event()
    transactions: list[object] = []

    def slow(connection: Connection) -> None:
        busy.set()
        assert go_on.wait(60)

    def note(connection: Connection) -> None:
        transactions.append(connection.get_transaction())

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(database.write, slow)
        assert busy.wait(60)
        others = [pool.submit(database.write, note, durable=n == 0) for n in range(8)]
        while database._orders.qsize() < 8:
            sleep(0.001)
        go_on.set()
        for job in (first, *others):
            job.result()
    assert len(transactions) == 8
    assert len(set(map(id, transactions))) == 1


def test_work_that_raises_leaves_nothing(database: Database) -> None:
    def half(connection: Connection) -> None:
        connection.execute(insert(SECRETS).values(name="half", value=b""))
        connection.execute(insert(SECRETS).values(name="half", value=b""))

    with pytest.raises(StoreError, match="could not be written"):
        database.write(half)
    with database.read() as connection:
        assert list(connection.scalars(select(SECRETS.c.name))) == ["tombstones"]


def test_closing_writes_what_was_ordered(new_url: Callable[[], str]) -> None:
    url = new_url()
    store = Store.open(url)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(store.save_post, POST)
        while not job.running() and not job.done():
            sleep(0.001)
        store.close()
        done = job.exception() is None
    store = Store.open(url)
    assert store.count("posts") == done
    store.close()


def test_erasing_says_where_a_reader_keeps_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reeltag.serving.store.database.WAIT", 0.1)
    store = Store.open(f"sqlite:///{tmp_path}/it.sqlite")
    store.save_post(POST)
    reader = sqlite3.connect(tmp_path / "it.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM posts").fetchone() == (1,)
    with pytest.raises(StoreError, match="still stands in its log"):
        store.erase_user("acme", "ann")
    assert store.count("posts") == 0
    reader.execute("COMMIT")
    reader.close()
    assert store.erase_user("acme", "ann") == 0
    assert all(b"a day at the sea" not in path.read_bytes() for path in tmp_path.iterdir())
    store.close()
