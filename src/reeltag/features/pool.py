"""Tasks, such as clips, go in; their answers, or the reasons they failed, come out of processes.

The rules are those of `reeltag.features.pool_rules`. Processes are spawned, not forked: the parent
may hold torch and its threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from reeltag.features.pool_rules import LostError, Pool, Work, Worker
from reeltag.features.worker import StartWorker, serve

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
        """What a `reeltag.features.worker.ClipWorker` is called with."""
        return self.path, self.names


StartPool = Callable[[StartWorker, int | None, int | None], Pool[Any]]
"""From what makes a worker, a number of workers (None: what it has) and of tasks to a pool."""


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

    def __exit__(self, *fault: object) -> None:
        for worker in self._workers:
            worker.pipe.close()  # all of them end at once
        super().__exit__(*fault)

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
