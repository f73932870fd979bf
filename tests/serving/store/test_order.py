"""Numbers of posts grow in the order of commits: who reads on from the last never misses one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from reeltag.errors import ConflictError
from reeltag.serving.store import Store
from tests.serving.store.posts import post

WRITERS, EACH = 6, 40


def test_a_reader_never_misses_a_post(store: Store, url: str) -> None:
    """Two stores stand for two processes: what orders their writes is the database alone."""
    stores = [store, Store.open(url)]
    start, done = Barrier(WRITERS + 1, timeout=60), Event()

    def write(writer: int) -> list[int | None]:
        start.wait()
        mine = stores[writer % 2]
        return [mine.save_post(post(post=f"{writer}-{n}")) for n in range(EACH)]

    def read() -> list[tuple[int, str]]:
        start.wait()
        seen: list[tuple[int, str]] = []
        last = False
        while not last:
            last = done.is_set()
            seen += [(n, p.post) for n, p in store.posts(after=seen[-1][0] if seen else 0)]
        return seen

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reader = pool.submit(read)
        try:
            numbers = [job.result() for job in [pool.submit(write, n) for n in range(WRITERS)]]
        finally:
            done.set()
        seen = reader.result()
    stores[1].close()
    assert all(mine == sorted(mine) for mine in numbers)
    assert [n for n, _ in seen] == sorted(n for mine in numbers for n in mine)
    assert dict(seen) == {
        number: f"{writer}-{n}"
        for writer, mine in enumerate(numbers)
        for n, number in enumerate(mine)
    }


def test_of_equal_posts_at_once_one_is_stored(store: Store, url: str) -> None:
    stores, start = [store, Store.open(url)], Barrier(WRITERS, timeout=60)

    def write(writer: int) -> list[int | None]:
        found = []
        for n in range(10):
            start.wait()
            found.append(stores[writer % 2].save_post(post(post=f"p{n}")))
        return found

    with ThreadPoolExecutor(WRITERS) as pool:
        numbers = list(pool.map(write, range(WRITERS)))
    stores[1].close()
    assert [sum(n is not None for n in tries) for tries in zip(*numbers, strict=True)] == [1] * 10
    assert store.count("posts") == 10


def test_what_fails_takes_no_other_with_it(store: Store) -> None:
    """Posts that come together are committed together, and yet each has its own outcome."""
    start = Barrier(WRITERS, timeout=60)

    def write(writer: int) -> list[bool]:
        outcomes = []
        for n in range(20):
            start.wait()
            try:
                # One of them comes first; of the others one says the same, and the rest conflict.
                store.save_post(post(post=f"p{n}", caption=f"{writer // 2}"))
                store.save_post(post(post=f"own {writer} {n}"))
                outcomes.append(True)
            except ConflictError:
                outcomes.append(False)
        return outcomes

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = list(pool.map(write, range(WRITERS)))
    assert [sum(tries) for tries in zip(*outcomes, strict=True)] == [2] * 20
    assert store.count("posts") == 20 + 2 * 20


def test_a_closed_store_says_so(url: str) -> None:
    store = Store.open(url)
    store.close()
    with pytest.raises(Exception, match="closed"):
        store.save_post(post())
    store.close()
