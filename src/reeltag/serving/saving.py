"""Recommendations in, which the store keeps while their answers are on the way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from fastapi.concurrency import run_in_threadpool

from reeltag.errors import ReelTagError
from reeltag.serving.store import Shown, Store

LOG = logging.getLogger("reeltag.serving")
MOST = 256
"""Recommendations that may wait to be stored; who is answered after that waits, too."""
_REMEMBERED = 3600.0
"""Seconds for which an erasure is remembered: longer than any request lasts."""


class Saving:
    """Stores recommendations without a reader having to wait; for one event loop.

    Whoever needs one waits until it is `stored`; whoever erases waits for all (`forget`). One
    that was asked for before its user was erased, and is answered after, is never stored.

    Args:
        failed: told that one could not be stored; its post will have to bring its own features.
    """

    def __init__(self, store: Store, failed: Callable[[], object]) -> None:
        self._store, self._failed = store, failed
        self._pending: dict[str, asyncio.Task[None]] = {}
        self._erased: dict[tuple[str, str], float] = {}

    async def begin(self, shown: Shown, asked: float) -> None:
        """Have a recommendation stored, which was asked for at `asked` (time.monotonic)."""
        while len(self._pending) >= MOST:
            await asyncio.wait(self._pending.values(), return_when=asyncio.FIRST_COMPLETED)
        if shown.user is not None and asked <= self._erased.get((shown.tenant, shown.user), 0.0):
            return
        task = asyncio.create_task(self._save(shown))
        self._pending[shown.id] = task
        task.add_done_callback(lambda _: self._pending.pop(shown.id))

    async def stored(self, recommendation: str) -> None:
        """Wait until one is stored, or could not be; at once, where it is not under way."""
        if recommendation in self._pending:
            await asyncio.wait([self._pending[recommendation]])

    async def all_stored(self) -> None:
        """Wait for all that are under way."""
        if self._pending:
            await asyncio.wait(self._pending.values())

    async def forget(self, tenant: str, user: str) -> None:
        """Store none any more that was asked for by a user before now; what there is, is stored."""
        now = time.monotonic()
        self._erased = {who: at for who, at in self._erased.items() if now - at < _REMEMBERED}
        self._erased[tenant, user] = now
        await self.all_stored()

    async def _save(self, shown: Shown) -> None:
        try:
            await run_in_threadpool(self._store.save_recommendation, shown)
        except ReelTagError as fault:
            LOG.error("recommendation %s could not be stored: %s", shown.id, fault)
            self._failed()
