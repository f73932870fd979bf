"""Clips go in, their features or the reasons they failed come out, from several processes.

The rules are those of `reeltag.features.pool_rules`. Processes are spawned, not forked: the parent
may hold torch and its threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from reeltag.data.feature import Manifest
from reeltag.features.pool_rules import LostError, Pool, Work, Worker
from reeltag.features.worker import ClipWorker, Reading, StartWorker, serve
from reeltag.media.limits import Limits

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Task:
    """One clip to read: the post's row, the clip and the features wanted of it."""

    post: int
    path: Path
    names: tuple[str, ...]
    tries: int = 0

    @property
    def arguments(self) -> tuple[Path, tuple[str, ...]]:
        """What a `ClipWorker` is called with."""
        return self.path, self.names


class ClipExecutor(AbstractContextManager["ClipExecutor"], Protocol):
    """What the extraction job runs clips on: `ClipPool` here, or one over many machines.

    It runs `reeltag.features.worker.ClipWorker` somewhere and may answer in any order.
    """

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Reading | str]]:
        """Yield each task once, with what was read or the reason that nobody could."""
        ...


StartExecutor = Callable[[Sequence[Manifest], Limits, int | None, int | None], ClipExecutor]
"""From manifests, limits, a number of workers (None: what it has) and of tasks to an executor."""


StartPool = Callable[[StartWorker, int | None, int | None], Pool[Any]]
"""Likewise from what makes a worker to a pool, for any work."""


@dataclass
class _Process(Worker):
    """A worker of this machine. `process` and `pipe` are always given."""

    process: SpawnProcess = None  # type: ignore[assignment]
    pipe: Connection = None  # type: ignore[assignment]


class ProcessPool(Pool[_Process]):
    """Workers that are processes of this machine, of one thread each."""

    def __init__(
        self, start: StartWorker, workers: int | None = None, tasks: int | None = None
    ) -> None:
        super().__init__(start, workers, tasks)
        self._context = multiprocessing.get_context("spawn")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.pipe.close()  # all of them end at once
        super().__exit__(kind, value, trace)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [w.process.pid for w in self._workers if w.process.pid is not None]

    def _cores(self) -> int:
        return len(os.sched_getaffinity(0))

    def _start(self) -> _Process:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(theirs, self._start_worker), daemon=True
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
        return _Process(process=process, pipe=ours)

    def _give(self, worker: _Process, task: Work) -> None:
        with contextlib.suppress(OSError):  # it died: the wait that follows notices
            worker.pipe.send(task.arguments)

    def _wait(self) -> list[int]:
        waiting: list[Connection | int] = []
        for worker in self._workers:
            waiting += [worker.pipe, worker.process.sentinel]
        signs = set(wait(waiting))
        return [
            at
            for at, worker in enumerate(self._workers)
            if worker.pipe in signs or worker.process.sentinel in signs
        ]

    def _hear(self, worker: _Process) -> tuple[str, Any]:
        try:
            if not worker.pipe.poll():
                raise EOFError
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            self._end(worker)
            raise LostError(f"exit status {worker.process.exitcode}") from None
        return kind, content

    def _end(self, worker: _Process) -> None:
        worker.pipe.close()
        if worker.task is not None or not worker.ready:
            worker.process.kill()
        worker.process.join(timeout=5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


class ClipPool(ProcessPool):
    """`workers` processes that read clips, see `reeltag.features.worker.ClipWorker`."""

    def __init__(
        self,
        manifests: Sequence[Manifest],
        limits: Limits,
        workers: int | None = None,
        tasks: int | None = None,
    ) -> None:
        super().__init__(partial(ClipWorker, manifests, limits), workers, tasks)
