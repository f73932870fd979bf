"""Stores for tests: each one that asks for `store` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from reeltag.serving.store import Store
from tests.serving.postgres import Server, binaries, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; the test is skipped, visibly, where Debian's package is absent."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with running(programs) as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Makes URLs of stores that do not exist yet, of either kind."""
    if request.param == "postgresql":
        made: Callable[[], str] = request.getfixturevalue("postgres").new_database
        return made
    folder, numbers = tmp_path_factory.mktemp("stores"), count()
    return lambda: f"sqlite:///{folder}/{next(numbers)}.sqlite"


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """The URL of a store that does not exist yet."""
    return new_url()


@pytest.fixture
def clock() -> Clock:
    """The store's clock."""
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    """An empty store whose clock stands still."""
    opened = Store.open(url, clock)
    yield opened
    opened.close()


class Clock:
    """A clock that tests set, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_700_000_000

    def __call__(self) -> float:
        return self.now


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite store; None for another kind."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None
