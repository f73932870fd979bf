"""A store in memory, of what the engine needs of one."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock

from reeltag.serving.records import Published


class MemoryLedger:
    """Keeps posts in the order in which they were saved."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._number = 0
        self._posts: dict[int, Published] = {}
        self._erased: set[bytes] = set()

    def save_post(self, post: Published) -> int:
        with self._lock:
            self._number += 1
            self._posts[self._number] = post
            return self._number

    def posts(self, after: int = 0, tenant: str | None = None) -> Iterator[tuple[int, Published]]:
        with self._lock:
            found = [
                (number, post)
                for number, post in self._posts.items()
                if number > after and tenant in (None, post.tenant)
            ]
        yield from found

    def tombstone(self, tenant: str, user: str) -> bytes:
        return f"{tenant}/{user}".encode()

    def erased_hashes(self) -> frozenset[bytes]:
        return frozenset(self._erased)

    def erase_user(self, tenant: str, user: str) -> int:
        with self._lock:
            theirs = [n for n, p in self._posts.items() if (p.tenant, p.user) == (tenant, user)]
            for number in theirs:
                del self._posts[number]
            self._erased.add(self.tombstone(tenant, user))
            return len(theirs)
