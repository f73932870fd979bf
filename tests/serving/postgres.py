"""A real PostgreSQL for tests: Debian's binaries on a folder of their own, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """Debian's folder of the newest PostgreSQL's programs; None where it is not installed."""
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
    return None if newest is None else newest.parent


class Server:
    """A running server that listens on a socket in `folder` alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = (f"test{n}" for n in count())

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """Make and start a server. Its programs refuse to run as root: somebody else does."""
    folder = Path(tempfile.mkdtemp(prefix="reeltag-postgres-"))
    # Whatever ends the tests ends the server: that is what pdeathsig is for.
    somebody = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        somebody += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    data = folder / "data"
    server = None
    try:
        subprocess.run(
            [*somebody, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust",
             "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [*somebody, programs / "postgres", "-D", data, "-k", folder,
                 "-c", "listen_addresses=", "-c", "fsync=off"],
                stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
        made = Server(folder)
        wait_for(made, server)
        yield made
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=30)
        shutil.rmtree(folder)


def wait_for(made: Server, server: subprocess.Popen[bytes]) -> None:
    """Return once the server answers."""
    for _ in range(300):
        try:
            made.execute("SELECT 1")
        except psycopg.OperationalError:
            assert server.poll() is None, (made.folder / "log").read_text()
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"no answer within 30 s:\n{(made.folder / 'log').read_text()}")
