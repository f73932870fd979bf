"""Tasks go in, their answers come out, from workers on every machine of a Ray cluster.

The rules are those of every pool (`reeltag.features.pool_rules`); a worker is a Ray actor. What
it decodes stays with it: features alone travel through Ray. `RAY_ADDRESS` names the cluster;
without it a Ray of its own is started on this machine, which nobody without its token can use.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from reeltag.errors import MissingExtraError, ReelTagError
from reeltag.features.backbones.cache import cache_folder
from reeltag.features.pool_rules import LostError, Pool, Work, Worker
from reeltag.features.worker import StartWorker, answer

START_SECONDS = 300.0
"""After so long without any worker the job ends."""


class _Actor:
    """What runs in a process of a cluster's node."""

    def __init__(self, start: StartWorker, environment: dict[str, str]) -> None:
        os.environ.update(environment)
        self._start, self._held = start, ExitStack()

    def open(self) -> tuple[str, Any]:
        """("ready", None) or ("fatal", message)."""
        try:
            self._worker = self._held.enter_context(self._start())
        except ReelTagError as fault:
            return "fatal", f"{os.uname().nodename}: {fault}"
        return "ready", None

    def answer(self, arguments: Sequence[Any]) -> tuple[str, Any]:
        """What `reeltag.features.worker.answer` says; "unseen" where a file is not on this node."""
        kind, content = answer(self._worker, arguments)
        absent = [a for a in arguments if isinstance(a, Path) and not a.exists()]
        if absent:
            return "unseen", (os.uname().nodename, absent, content)
        return kind, content


@dataclass
class _Remote(Worker):
    """An actor. `said` will hold its answer, None while it has nothing to do."""

    actor: Any = None
    said: Any = None


class RayPool(Pool[_Remote]):
    """Workers that are actors of a Ray cluster, of one core each, spread over its nodes."""

    def __init__(
        self, start: StartWorker, workers: int | None = None, tasks: int | None = None
    ) -> None:
        super().__init__(start, workers, tasks)
        self._ray = _import_ray()
        self._joined = False

    def __enter__(self) -> Self:
        if not self._ray.is_initialized():
            _join(self._ray)
            self._joined = True
        return self

    def __exit__(self, *fault: object) -> None:
        super().__exit__(*fault)
        if self._joined:
            self._ray.shutdown()

    def _cores(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 1))

    def _start(self) -> _Remote:
        environment = {"REELTAG_CACHE": str(cache_folder().absolute())}
        make = self._ray.remote(
            num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )(_Actor)
        actor = make.remote(self._start_worker, environment)
        return _Remote(actor=actor, said=actor.open.remote())

    def _give(self, worker: _Remote, task: Work) -> None:
        worker.said = worker.actor.answer.remote(task.arguments)

    def _wait(self) -> list[int]:
        waiting = [worker.said for worker in self._workers if worker.said is not None]
        patience = None if any(worker.ready for worker in self._workers) else START_SECONDS
        said, _ = self._ray.wait(waiting, timeout=patience)
        if not said:
            raise ReelTagError(
                f"No worker started within {START_SECONDS:g} s; the cluster has "
                f"{self._ray.cluster_resources().get('CPU', 0):g} cores, of which "
                f"{self._ray.available_resources().get('CPU', 0):g} are free. "
                "Free some, or pass fewer --workers; finished parts are kept."
            )
        return [at for at, worker in enumerate(self._workers) if worker.said in said]

    def _hear(self, worker: _Remote) -> tuple[str, Any]:
        said, worker.said = worker.said, None
        try:
            kind, content = self._ray.get(said)
        except self._ray.exceptions.RayError as fault:
            raise LostError(str(fault).splitlines()[0]) from None
        if kind == "unseen":
            node, absent, content = content
            seen = [path for path in absent if path.exists()]
            if seen:
                raise ReelTagError(
                    f"Node {node} does not see {seen[0]}, which is here. Clips and runs must lie "
                    "under the same path on every node of the cluster; finished parts are kept."
                )
        return kind, content

    def _end(self, worker: _Remote) -> None:
        self._ray.kill(worker.actor)


def _import_ray() -> Any:
    """Ray; where it will be one of our own, closed to whoever lacks this process's token."""
    if "ray" not in sys.modules and not os.environ.get("RAY_ADDRESS"):  # read when Ray is loaded
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
        import ray.exceptions
    except ImportError as fault:
        raise MissingExtraError("Ray", "ray") from fault
    return ray


def _join(ray: Any) -> None:
    """Join the cluster that `RAY_ADDRESS` names, or start a Ray of our own on this machine."""
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **own)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as fault:
        raise ReelTagError(
            f"Ray of {address or 'this machine'} does not answer or refuses us "
            f"({str(fault).splitlines()[0]}). Check RAY_ADDRESS, and that RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN are those of the cluster."
        ) from fault
