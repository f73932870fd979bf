"""Tasks go in, their answers or the reasons they failed come out: the rules of every pool.

A worker that dies (out of memory, say) is replaced; its task is tried once more and then given
up. `reeltag.features.pool` has workers that are processes of this machine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

from reeltag.errors import ReelTagError
from reeltag.features.worker import StartWorker

TRIES = 2
_MOST_FAILED_STARTS = 3
"""So many for each worker, and none that does start between them, end the job."""


class Work(Protocol):
    """One task: a worker is called with its `arguments`."""

    tries: int

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the worker is called with."""
        ...


class LostError(Exception):
    """A worker is gone; the message says how."""


@dataclass
class Worker:
    """One worker of a pool. It is given a task once it is ready, and one at a time."""

    ready: bool = False
    task: Any = None


AnyWork = TypeVar("AnyWork", bound=Work)
AnyWorker = TypeVar("AnyWorker", bound=Worker)


class Pool(ABC, Generic[AnyWorker]):
    """Workers that `start` makes, wherever a subclass lets them live; a context manager.

    One task a worker is under way, so one that dies costs its task alone, which is then known.

    Args:
        start: makes what is called with a task's arguments.
        workers: how many there are; default: one for every core the pool may use.
        tasks: how many will come, if that is known: more workers are of no use.
    """

    def __init__(
        self, start: StartWorker, workers: int | None = None, tasks: int | None = None
    ) -> None:
        self._start_worker, self._wanted, self._tasks = start, workers, tasks
        self._failed_starts = 0
        self._workers: list[AnyWorker] = []

    @abstractmethod
    def _cores(self) -> int:
        """Cores that the pool may use."""

    @abstractmethod
    def _start(self) -> AnyWorker:
        """A new worker, which becomes ready by and by."""

    @abstractmethod
    def _give(self, worker: AnyWorker, task: Work) -> None:
        """Let a worker begin a task."""

    @abstractmethod
    def _wait(self) -> list[int]:
        """Wait until workers have something to say or died; their places."""

    @abstractmethod
    def _hear(self, worker: AnyWorker) -> tuple[str, Any]:
        """What a worker says: ready, values, failed or fatal, and more. Raises `LostError`."""

    @abstractmethod
    def _end(self, worker: AnyWorker) -> None:
        """Make sure that a worker is gone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        for worker in self._workers:
            self._end(worker)
        self._workers = []

    def _count(self) -> int:
        count = max(1, self._wanted or self._cores())
        return count if self._tasks is None else min(count, max(1, self._tasks))

    def run(self, tasks: Iterable[AnyWork]) -> Iterator[tuple[AnyWork, Any]]:
        """Yield each task with its answer, or with the reason (a text) it failed, as they finish.

        Raises `ReelTagError` where workers cannot start at all.
        """
        queue, again = iter(tasks), deque[AnyWork]()
        exhausted = False
        self._workers = self._workers or [self._start() for _ in range(self._count())]
        while True:
            for worker in self._workers:
                if worker.ready and worker.task is None:
                    task = again.popleft() if again else next(queue, None)
                    exhausted = exhausted or task is None
                    if task is not None:
                        worker.task = task
                        self._give(worker, task)
            busy = any(w.task is not None for w in self._workers)
            if exhausted and not busy and not again:
                return
            for at in self._wait():
                yield from self._settle(at, again)

    def _settle(self, at: int, again: deque[AnyWork]) -> Iterator[tuple[AnyWork, Any]]:
        worker = self._workers[at]
        try:
            kind, content = self._hear(worker)
        except LostError as lost:
            yield from self._replace(at, again, lost)
            return
        if kind == "ready":
            worker.ready, self._failed_starts = True, 0
        elif kind == "fatal":
            raise ReelTagError(str(content))
        elif worker.task is not None:
            task, worker.task = worker.task, None
            yield task, content

    def _replace(
        self, at: int, again: deque[AnyWork], lost: LostError
    ) -> Iterator[tuple[AnyWork, Any]]:
        worker = self._workers[at]
        self._end(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS * len(self._workers):
                raise ReelTagError(
                    f"Workers do not start ({lost}). "
                    "Free some memory or pass fewer --workers; finished parts are kept."
                )
        self._workers[at] = self._start()
        task = worker.task
        if task is None:
            return
        task.tries += 1
        if task.tries < TRIES:
            again.append(task)
        else:
            # How they died is no part of it: every executor is to record the same.
            yield task, f"the worker busy with it died {TRIES} times"
