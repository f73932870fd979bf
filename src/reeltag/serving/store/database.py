"""A URL in, a database out whose transactions are durable, in one order, and cheap together.

One thread writes: in one transaction, with one flush to the disk, all that came while it was
busy with those before. So numbers grow in the order of commits, also among several processes on
one PostgreSQL, whose writers take turns by an advisory lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from reeltag.errors import ReelTagError, StoreError
from reeltag.serving.store import migrations
from reeltag.serving.store.place import parse

T = TypeVar("T")
Order = tuple[Callable[[Connection], Any], bool, Future[Any]]
"""What is to be done, whether durably, and where the outcome goes."""

WAIT = 30
"""Seconds until a lock, a connection or a server that does not answer is an error."""
TURN = 7_331_502_174
"""The advisory lock of who writes to a PostgreSQL store."""

_ALEMBIC = Lock()
"""Alembic keeps what it works on in its modules: one migration at a time."""


class Database:
    """Transactions on SQLite (WAL) or PostgreSQL, for any number of threads."""

    def __init__(self, url: str) -> None:
        """Open the database. Raises `ConfigError` for an unusable URL, `StoreError` otherwise."""
        target = parse(url)
        self.name = target.render_as_string(hide_password=True)
        self.embedded = target.drivername == "sqlite"
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._open, self._gate = True, Lock()
        patience: dict[str, Any] = {"timeout": WAIT}
        if not self.embedded:
            patience = {
                "connect_timeout": WAIT,
                "tcp_user_timeout": 1000 * WAIT,
                "options": f"-c lock_timeout={WAIT}s",
            }
        self._engine = create_engine(
            target,
            connect_args=patience,
            hide_parameters=True,  # an error's text shows nobody's data
            json_serializer=_json,
            pool_pre_ping=not self.embedded,
            pool_timeout=WAIT,
        )
        event.listen(self._engine, "begin", self._begin)
        if self.embedded:
            event.listen(self._engine, "connect", _prepare)
            with self._told("opened"):
                _make_private(Path(target.database or ""))
        self._writer = Thread(target=self._write_on, name="store", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Write what was ordered, then give back all connections."""
        with self._gate:
            self._open = False
            self._orders.put(None)  # the last one
        self._writer.join()
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a transaction that only reads. Raises `StoreError`."""
        with self._told("read"), self._engine.begin() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """What `work` returns, once it is committed; together with what other threads write.

        Args:
            work: reads and writes on the connection. If it raises, nothing of it is written.
            durable: flushed to the disk, so that it survives a power cut; otherwise only the
                end of this process, however sudden.
        Raises what `work` raises, and `StoreError` where the database refuses.
        """
        result: Future[T] = Future()
        with self._gate:
            if not self._open:
                raise StoreError(f"The store {self.name} is closed: nothing can be written to it.")
            self._orders.put((work, durable, result))
        return result.result()

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to a revision; "base" removes them. Raises `StoreError`."""
        config = Config()
        folder = Path(migrations.__file__).parent
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        change = command.downgrade if revision == "base" else command.upgrade
        try:
            with self._told("migrated"), _ALEMBIC, self._writing(True) as connection:
                self._check_encoding(connection)
                config.attributes["connection"] = connection
                change(config, revision)
        except CommandError as fault:
            raise StoreError(
                f"The tables of {self.name} are of a revision this version does not know "
                f"({fault}). Expected ones it or an older version made: update ReelTag."
            ) from fault

    def _check_encoding(self, connection: Connection) -> None:
        if self.embedded:
            return
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise StoreError(
                f"{self.name} keeps text as {encoding}, expected UTF8, which has every hashtag: "
                "CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0."
            )

    def scrub(self) -> None:
        """Empty SQLite's log, in which removed rows still stand. PostgreSQL tends its own.

        Raises `StoreError` where somebody reads an older state for so long that it cannot be.
        """
        if not self.embedded:
            return
        until = monotonic() + WAIT
        while not self._empty_log():  # somebody else is at it, or reads
            if monotonic() > until:
                raise StoreError(
                    f"What was removed from {self.name} still stands in its log, since somebody "
                    f"reads an older state. Expected that to end within {WAIT} s: try again later."
                )
            sleep(0.01)

    def _empty_log(self) -> bool:
        with self._told("scrubbed"):
            raw = self._engine.raw_connection()
            try:
                busy, *_ = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                raw.close()
        return not busy

    def _write_on(self) -> None:
        """Commit what is ordered, all that waits at a time, until None is."""
        more = True
        while more:
            batch = [self._orders.get()]
            while not self._orders.empty():  # nobody else takes from it
                batch.append(self._orders.get())
            more = batch[-1] is not None
            if orders := [order for order in batch if order is not None]:
                self._commit(orders)

    def _commit(self, batch: list[Order]) -> None:
        """One transaction for all of `batch`; a work that fails takes only itself back."""
        outcomes: list[tuple[Future[Any], Any, Exception | None]] = []
        try:
            with (
                self._told("written"),
                self._writing(any(durable for _, durable, _ in batch)) as connection,
            ):
                for work, _, result in batch:
                    try:
                        with connection.begin_nested():
                            value = work(connection)
                        outcomes.append((result, value, None))
                    except (DataError, IntegrityError) as fault:
                        outcomes.append((result, None, self._error("written", fault)))
                    except ReelTagError as fault:
                        outcomes.append((result, None, fault))
        except BaseException as fault:
            for _, _, result in batch:
                result.set_exception(fault)
            return
        for result, value, error in outcomes:
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

    @contextmanager
    def _writing(self, durable: bool) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            connection = connection.execution_options(durable=durable)
            with connection.begin():
                yield connection

    def _begin(self, connection: Connection) -> None:
        """Start a transaction; one that writes has the option `durable`, and waits for its turn."""
        durable = connection.get_execution_options().get("durable")
        if durable is None:
            statements = ["BEGIN"] if self.embedded else []
        elif self.embedded:
            level = "FULL" if durable else "NORMAL"
            statements = [f"PRAGMA synchronous={level}", "BEGIN IMMEDIATE"]
        else:
            level = "ON" if durable else "OFF"
            statements = [
                f"SET LOCAL synchronous_commit TO {level}",
                f"SELECT pg_advisory_xact_lock({TURN})",
            ]
        for statement in statements:
            connection.exec_driver_sql(statement)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Errors of the database and the disk as `StoreError`."""
        try:
            yield
        except (SQLAlchemyError, OSError) as fault:
            raise self._error(what, fault) from fault

    def _error(self, what: str, fault: Exception) -> StoreError:
        original = fault.orig if isinstance(fault, DBAPIError) else fault
        reason = str(original).splitlines()[0] if str(original) else type(fault).__name__
        return StoreError(
            f"The store {self.name} could not be {what}: {reason}. Expected a database that "
            "answers, may be written and has room on its disk; nothing half-written is left."
        )


def _prepare(connection: Any, _: Any) -> None:
    """A new connection to SQLite."""
    connection.isolation_level = None  # transactions begin where `_begin` says
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA secure_delete=ON")  # what is removed is overwritten


def _make_private(file: Path) -> None:
    """Captions and keys' hashes are for the owner alone; SQLite's log takes the file's mode."""
    if not file.exists():
        file.touch(mode=0o600)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
