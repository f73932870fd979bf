"""A process killed at any moment loses no post that it acknowledged."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reeltag.serving.store import Store
from tests.serving.conftest import sqlite_file

ROOT = Path(__file__).parents[3]


def killed_writer(url: str, name: str, moments: random.Random) -> dict[int, str]:
    """What a writer acknowledged until it was killed: most while writing, some while starting."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.store.writer", url, name],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert writer.stdout is not None
    first = b""
    if moments.random() < 0.8:
        first = writer.stdout.readline()
        time.sleep(moments.uniform(0, 0.3))
    else:
        time.sleep(moments.uniform(0, 2))
    writer.kill()
    rest, _ = writer.communicate()
    assert writer.returncode == -9
    lines = (first + rest).decode().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {int(number): post for number, post in whole}


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.long)])
def test_no_acknowledged_post_is_lost(url: str, kills: int) -> None:
    moments, acknowledged = random.Random(kills), {}
    for kill in range(kills):
        acknowledged |= killed_writer(url, str(kill), moments)
        file = sqlite_file(url)
        if file is not None and file.exists():
            with sqlite3.connect(file) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            connection.close()
    assert len(acknowledged) >= kills
    store = Store.open(url)
    kept = {number: post.post for number, post in store.posts()}
    assert acknowledged.items() <= kept.items()
    assert len(set(kept.values())) == len(kept)
    # What was not acknowledged may be there too: at most what each thread was about to hear of.
    assert len(kept) - len(acknowledged) <= 4 * kills
    assert store.count("recommendations") >= len(kept)
    assert store.save_post(next(store.posts())[1]) is None
    store.close()
