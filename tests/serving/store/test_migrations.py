"""The tables are made, brought up to date and removed by migrations that say what the code does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from reeltag.errors import StoreError
from reeltag.serving.store import Store
from reeltag.serving.store.database import Database
from reeltag.serving.store.place import parse
from reeltag.serving.store.tables import METADATA
from tests.serving.store.posts import POST


def tables(url: str) -> set[str]:
    engine = create_engine(parse(url))
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version", "sqlite_sequence"}
    finally:
        engine.dispose()


def test_migrations_make_the_tables_the_code_knows(url: str) -> None:
    Store.open(url).close()
    assert tables(url) == set(METADATA.tables)
    engine = create_engine(parse(url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_up_and_down_and_up(url: str) -> None:
    database = Database(url)
    database.migrate()
    assert tables(url) == set(METADATA.tables)
    database.migrate("base")
    assert tables(url) == set()
    database.migrate()
    store = Store(database)
    assert store.save_post(POST) == 1
    store.close()


def test_opening_again_changes_nothing(url: str) -> None:
    store = Store.open(url)
    store.save_post(POST)
    for _ in range(3):
        other = Store.open(url)
        assert other.count("posts") == 1
        other.close()
    store.close()


def test_many_open_a_new_store_at_once(url: str) -> None:
    Store.open(url).close()
    database = Database(url)
    database.migrate("base")
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(Store.open, [url] * 4))
    assert len({store.tombstone("acme", "ann") for store in stores}) == 1
    for store in stores:
        store.close()
    database.close()


def test_a_failed_migration_leaves_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("power cut")

    monkeypatch.setattr("alembic.op.bulk_insert", fail)
    with pytest.raises(StoreError, match="power cut"):
        Store.open(url)
    monkeypatch.undo()
    assert tables(url) == set()
    Store.open(url).close()


def test_a_store_of_a_newer_version_is_named(url: str) -> None:
    Store.open(url).close()
    engine = create_engine(parse(url))
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '999'")
    engine.dispose()
    with pytest.raises(StoreError, match=r"999.*update ReelTag"):
        Store.open(url)


def test_scripts_are_in_the_package() -> None:
    import reeltag.serving.store.migrations.versions as versions

    folder = Path(versions.__file__).parent
    assert [path.name for path in sorted(folder.glob("v*.py"))] == ["v1_first.py"]
