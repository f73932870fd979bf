"""Who is erased leaves nothing but a tombstone, in no table and in no byte of SQLite's file."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sqlalchemy import create_engine, inspect, text

from reeltag.serving.store import Store
from reeltag.serving.store.place import parse
from tests.serving.conftest import Clock, sqlite_file
from tests.serving.store.posts import post, shown

MARK = "Wachholtz-7741"


def everything(url: str) -> bytes:
    """All bytes that a store holds: each value of each table, and SQLite's files as they are."""
    found = bytearray()
    engine = create_engine(parse(url))
    with engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                for value in row:
                    found += bytes(value) if isinstance(value, bytes) else str(value).encode()
    engine.dispose()
    file = sqlite_file(url)
    for path in [] if file is None else file.parent.glob(f"{file.name}*"):
        found += path.read_bytes()
    return bytes(found)


def fill(store: Store, mark: str, others: str, count: int) -> None:
    """Rows of the user `mark`, with that in all that can hold it, among rows of others."""
    drawn = random.Random(0)
    feature = {"textual-test": np.frombuffer((mark * 30).encode(), np.uint8)}
    for n in range(count):
        for user, said, values in ((mark, mark, feature), (f"u{n % 7}", others, None)):
            many = f"{said} " * drawn.choice((1, 20, 3000))  # some are longer than a page
            about = {
                "user": user,
                "caption": many,
                "music": said,
                "place": said,
                "values": values,
            }
            store.save_recommendation(
                shown(id=f"{said}-{n}", hashtags=[(said, 1.0)], run="run", **about)
            )
            # Asked for by nobody in particular, but what a post of the user's came from.
            store.save_recommendation(
                shown(id=f"{said}-nobody-{n}", hashtags=[(said, 1.0)], **{**about, "user": None})
            )
            store.save_post(
                post(
                    post=f"{said}-{n}",
                    hashtags=[said, "sea"],
                    recommendation=f"{said}-nobody-{n}",
                    **about,
                )
            )
            store.save_failure("acme", 0, "decode", f"{said}: endless", user=user)


def test_erasing_leaves_no_byte(store: Store, url: str) -> None:
    fill(store, MARK, "other", 40)
    assert MARK.encode() in everything(url)
    others = [p for _, p in store.posts() if p.user != MARK]
    assert store.erase_user("acme", MARK) == 4 * 40
    assert MARK.encode() not in everything(url)
    assert [p for _, p in store.posts()] == others
    assert store.count("recommendations") == 2 * 40
    assert store.count("failures") == 40
    assert store.user("acme", MARK).posts == 0
    assert store.recommendation("acme", f"{MARK}-0") is None


def test_erasing_while_others_write_leaves_no_byte(store: Store, url: str) -> None:
    def come_and_go(n: int) -> None:
        for turn in range(3):
            fill(store, f"{MARK}-{n}-{turn}", f"other-{n}-{turn}", 4)
            assert store.erase_user("acme", f"{MARK}-{n}-{turn}") == 16

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert MARK.encode() not in everything(url)
    assert store.count("posts") == 4 * 3 * 4


def test_a_tombstone_stays(store: Store, url: str) -> None:
    assert not store.erased("acme", "ann")
    assert store.erased_hashes() == frozenset()
    store.save_post(post())
    store.save_post(post(tenant="other"))
    assert store.erase_user("acme", "ann") == 1
    assert store.erase_user("acme", "ann") == 0
    assert store.erased("acme", "ann")
    assert not store.erased("acme", "bob")
    assert not store.erased("other", "ann")
    assert store.user("other", "ann").posts == 1
    assert store.erased_hashes() == {store.tombstone("acme", "ann")}
    assert b"ann" not in store.tombstone("acme", "ann")


def test_tombstones_of_another_store_say_nothing(store: Store, tmp_path: object) -> None:
    other = Store.open(f"sqlite:///{tmp_path}/other.sqlite")
    assert other.tombstone("acme", "ann") != store.tombstone("acme", "ann")
    other.close()


def test_who_comes_back_is_new(store: Store, clock: Clock) -> None:
    store.save_post(post())
    store.erase_user("acme", "ann")
    assert store.save_post(post()) is not None
    assert store.user("acme", "ann").posts == 1
    assert store.erased("acme", "ann")
