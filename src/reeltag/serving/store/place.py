"""Where a store lies: a URL or a run folder in, a URL that SQLAlchemy opens out."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from reeltag.errors import ConfigError
from reeltag.training.description import read_description

FILE = "serving.sqlite"
"""The SQLite file beside a run."""
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


def store_url(place: str | Path) -> str:
    """The URL of a store, given itself or a run folder, whose store is RUN/serving.sqlite.

    Raises `RunError` where a folder is no run.
    """
    if "://" in str(place):
        return str(place)

    read_description(Path(place))
    return URL.create("sqlite", database=str(Path(place) / FILE)).render_as_string()


def parse(url: str) -> URL:
    """`url` with our driver. Raises `ConfigError` for anything but SQLite and PostgreSQL."""
    expected = "expected sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE."
    try:
        read = make_url(url)
    except (ArgumentError, ValueError) as fault:  # the text may hold a password: it is not shown
        raise ConfigError(f"The store's URL cannot be read; {expected}") from fault
    driver = DRIVERS.get(read.drivername.split("+")[0])
    if driver is None:
        raise ConfigError(f"Got a store of kind {read.drivername!r}, {expected}")
    if driver == "sqlite" and read.database in (None, "", ":memory:"):
        raise ConfigError(f"Got a store in memory, which forgets; {expected}")
    return read.set(drivername=driver)
