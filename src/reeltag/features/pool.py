"""Clips go in, their features or the reasons they failed come out, from several processes.

A worker that dies (out of memory, say) is replaced; its clip is tried once more and then
given up. Workers are spawned, not forked: the parent may hold torch and its threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Protocol

from reeltag.data.feature import Manifest
from reeltag.errors import ReelTagError
from reeltag.features.worker import Values, serve
from reeltag.media.limits import Limits

TRIES = 2
_MOST_FAILED_STARTS = 3
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Task:
    """One clip to read: the post's row, the clip and the features wanted of it."""

    post: int
    path: Path
    names: tuple[str, ...]
    tries: int = 0


class ClipExecutor(AbstractContextManager["ClipExecutor"], Protocol):
    """What the job runs clips on: this module's `ClipPool`, or one over many machines.

    It runs `reeltag.features.worker.ClipWorker` somewhere and may answer in any order.
    """

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Values | str]]:
        """Yield each task once, with its values or the reason it failed."""
        ...


StartExecutor = Callable[[Sequence[Manifest], Limits, int], ClipExecutor]
"""From manifests, limits and a number of workers to an executor."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    ready: bool = False
    task: Task | None = None


class ClipPool(ClipExecutor):
    """`workers` processes that read clips; a context manager."""

    def __init__(self, manifests: Sequence[Manifest], limits: Limits, workers: int) -> None:
        self._manifests, self._limits = list(manifests), limits
        self._context = multiprocessing.get_context("spawn")
        self._failed_starts = 0
        self._workers: list[_Worker] = []
        self._count = max(1, workers)

    def __enter__(self) -> ClipPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            if worker.task is not None or not worker.ready:
                worker.process.kill()
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers = []

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [w.process.pid for w in self._workers if w.process.pid is not None]

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Values | str]]:
        """Yield each task with its values, or with the reason it failed, as they finish.

        Raises `ReelTagError` where workers cannot start at all.
        """
        queue, again = iter(tasks), deque[Task]()
        exhausted = False
        self._workers = self._workers or [self._start() for _ in range(self._count)]
        while True:
            for worker in self._workers:
                if worker.ready and worker.task is None:
                    task = again.popleft() if again else next(queue, None)
                    exhausted = exhausted or task is None
                    if task is not None:
                        self._give(worker, task)
            busy = any(w.task is not None for w in self._workers)
            if exhausted and not busy and not again:
                return
            waiting: list[Connection | int] = []
            for worker in self._workers:
                waiting += [worker.pipe, worker.process.sentinel]
            signs = set(wait(waiting))
            for at, worker in enumerate(self._workers):
                if worker.pipe in signs or worker.process.sentinel in signs:
                    yield from self._hear(at, worker, again)

    def _hear(
        self, at: int, worker: _Worker, again: deque[Task]
    ) -> Iterator[tuple[Task, Values | str]]:
        try:
            if not worker.pipe.poll():
                raise EOFError
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._replace(at, worker, again)
            return
        if kind == "ready":
            worker.ready = True
        elif kind == "fatal":
            raise ReelTagError(str(content))
        elif worker.task is not None:
            task, worker.task = worker.task, None
            yield task, content

    def _replace(
        self, at: int, worker: _Worker, again: deque[Task]
    ) -> Iterator[tuple[Task, Values | str]]:
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()
        code, task = worker.process.exitcode, worker.task
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise ReelTagError(
                    f"Extraction workers do not start (exit status {code}). "
                    "Free some memory or pass fewer --workers; finished parts are kept."
                )
        self._workers[at] = self._start()
        if task is None:
            return
        task.tries += 1
        if task.tries < TRIES:
            again.append(task)
        else:
            yield task, f"the worker reading it died {TRIES} times (exit status {code})"

    def _give(self, worker: _Worker, task: Task) -> None:
        worker.task = task
        with contextlib.suppress(OSError):  # it died: the wait that follows notices
            worker.pipe.send((task.path, task.names))

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(theirs, self._manifests, self._limits), daemon=True
        )
        before = {key: os.environ.get(key) for key in _ONE_THREAD}
        os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
        try:
            process.start()
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value
        theirs.close()
        return _Worker(process, ours)
