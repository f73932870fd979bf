"""Recommendations in, which the store keeps while their answers are on the way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from fastapi.concurrency import run_in_threadpool

from reeltag.errors import ReelTagError, StoreError
from reeltag.serving.store import Shown, Store

LOG = logging.getLogger("reeltag.serving")
MOST = 256
"""Recommendations that may wait to be stored; who is answered after that waits, too."""
_GATHER = 0.05
"""Seconds in which recommendations are gathered to be stored together, unless one is needed."""
_REMEMBERED = 3600.0
"""Seconds for which an erasure is remembered: longer than any request lasts."""


class Saving:
    """Stores recommendations, many at a time, without a reader having to wait; for one event loop.

    Whoever needs one waits until it is `stored`; whoever erases waits for all (`forget`). One
    that was asked for before its user was erased, and is answered after, is never stored.

    Args:
        failed: told that one could not be stored; its post will have to bring its own features.
    """

    def __init__(self, store: Store, failed: Callable[[], object]) -> None:
        self._store, self._failed = store, failed
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._waiting: list[Shown] = []
        self._needed = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._erased: dict[tuple[str, str], float] = {}

    async def begin(self, shown: Shown, asked: float) -> None:
        """Have a recommendation stored, which was asked for at `asked` (time.monotonic)."""
        while len(self._pending) >= MOST:
            self._needed.set()
            await asyncio.wait(self._pending.values(), return_when=asyncio.FIRST_COMPLETED)
        if shown.user is not None and asked <= self._erased.get((shown.tenant, shown.user), 0.0):
            return
        self._pending[shown.id] = asyncio.get_running_loop().create_future()
        self._waiting.append(shown)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def stored(self, recommendation: str) -> None:
        """Wait until one is stored, or could not be; at once, where it is not under way."""
        if recommendation in self._pending:
            self._needed.set()
            await asyncio.wait([self._pending[recommendation]])

    async def all_stored(self) -> None:
        """Wait for all that are under way."""
        if self._pending:
            self._needed.set()
            await asyncio.wait(self._pending.values())

    async def forget(self, tenant: str, user: str) -> None:
        """Store none any more that was asked for by a user before now; what there is, is stored."""
        now = time.monotonic()
        self._erased = {who: at for who, at in self._erased.items() if now - at < _REMEMBERED}
        self._erased[tenant, user] = now
        await self.all_stored()

    async def _write(self) -> None:
        """Store what waits, and what comes meanwhile."""
        while self._waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._needed.wait(), _GATHER)
            self._needed.clear()
            taken, self._waiting = self._waiting, []
            try:
                await self._save(taken)
            except Exception:  # whoever waits must not wait for ever
                LOG.exception("%d recommendations could not be stored", len(taken))
                self._failed()
            finally:
                for shown in taken:
                    self._pending.pop(shown.id).set_result(None)

    async def _save(self, shown: Sequence[Shown]) -> None:
        try:
            await run_in_threadpool(self._store.save_recommendations, shown)
        except ReelTagError as fault:
            if len(shown) > 1 and not isinstance(fault, StoreError):
                for one in shown:  # one of them cannot be stored: the others can
                    await self._save([one])
                return
            for one in shown:
                LOG.error("recommendation %s could not be stored: %s", one.id, fault)
                self._failed()
