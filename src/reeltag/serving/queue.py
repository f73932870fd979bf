"""Requests in from any thread, up to a bound; one thread takes them out, many at a time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition

from reeltag.errors import DeadlineError, OverloadedError
from reeltag.recommend.answers import Answer
from reeltag.serving.records import Asked

Notice = Callable[[], object]
"""Something that the taking thread is to do; it must not raise."""
_LONGEST_WAIT = 60
"""Seconds after which a refused caller is asked to come back, at most."""
_LINGER = 0.25
"""Time to wait for one more request, in times that the last batch took; for all of them, 1."""
_RECENT = 0.1
"""Weight of the last batch in the time that an answer takes."""


@dataclass(frozen=True)
class Ask:
    """A request that was accepted: `future` gets its answer before `due` (time.monotonic)."""

    asked: Asked
    due: float
    future: Future[Answer] = field(default_factory=Future)

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self.due

    def begin(self) -> bool:
        """Whether it is still wanted; one that is late is told so, one cancelled is nobody's."""
        if not self.future.set_running_or_notify_cancel():
            return False
        if not self.late:
            return True
        self.future.set_exception(
            DeadlineError("The request waited for longer than it may, and was not scored.")
        )
        return False


class Intake:
    """What waits for the engine's thread: requests up to a bound, and notices without one.

    A request counts until its future is done, wherever it waits: so the bound is one for all
    that the engine holds. Notices are taken first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._changed = Condition()
        self._asks: deque[Ask] = deque()
        self._notices: deque[Notice] = deque()
        self._open = 0
        self._closed = self._ended = False
        self._pace = 0.01
        self._most_open, self._took = 0, 0.0

    @property
    def depth(self) -> int:
        """Requests accepted and not answered yet."""
        return self._open

    def put(self, ask: Ask) -> None:
        """Accept a request. Raises `OverloadedError`, at once, where there are too many."""
        with self._changed:
            if self._closed:
                raise OverloadedError("The service is about to stop.", 1)
            if self._open >= self.most:
                wait = min(_LONGEST_WAIT, math.ceil(self._open * self._pace))
                raise OverloadedError(f"{self._open} requests are waiting already.", max(1, wait))
            self._open += 1
            self._most_open = max(self._most_open, self._open)
            self._asks.append(ask)
            self._changed.notify_all()
        ask.future.add_done_callback(self._done)

    def _done(self, _: Future[Answer]) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def notify(self, notice: Notice) -> None:
        """Have something done by the thread that takes, before any request still waiting.

        Raises `OverloadedError` after the end.
        """
        with self._changed:
            if self._ended:
                raise OverloadedError("The service has stopped.", 1)
            self._notices.append(notice)
            self._changed.notify_all()

    def take(
        self, most: int, seconds: float | None = None
    ) -> tuple[list[Notice], list[Ask]] | None:
        """All notices and up to `most` requests; waits for one, for `seconds` at most.

        Where several were open at once since the last time, a little longer, for as many, while
        they keep coming: those just answered are about to ask again, and a batch costs much less
        than its requests one by one. None: there is no more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._asks or self._notices or self._ended, seconds)
            if self._ended and not (self._asks or self._notices):
                return None
            if self._asks:
                self._gather(most)
            self._most_open = self._open
            notices = list(self._notices)
            asks: list[Ask] = []
            self._notices.clear()
            while self._asks and len(asks) < most:
                asks.append(self._asks.popleft())
            return notices, asks

    def _gather(self, most: int) -> None:
        until = time.monotonic() + self._took
        while not self._notices and (came := len(self._asks)) < min(self._most_open, most):
            patience = min(_LINGER * self._took, until - time.monotonic())
            if not self._changed.wait_for(self._more_than(came), patience):
                return

    def _more_than(self, came: int) -> Callable[[], bool]:
        return lambda: bool(self._notices) or len(self._asks) > came

    def took(self, seconds: float, answered: int) -> None:
        """Learn how long a batch took: for how long to wait for more, and when to come back."""
        self._took = seconds
        self._pace += _RECENT * (seconds / max(answered, 1) - self._pace)

    def close(self) -> None:
        """Accept no request any more, and wait until all accepted ones are answered."""
        with self._changed:
            self._closed = True
            while self._open:
                self._changed.wait()

    def end(self) -> None:
        """Let the taking thread go once nothing is left."""
        with self._changed:
            self._closed = self._ended = True
            self._changed.notify_all()
