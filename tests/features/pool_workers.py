"""Workers with a mind of their own, for tests of pools: each call leaves a line in a log."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from reeltag.errors import ClipError, ReelTagError
from reeltag.features.worker import ClipWorker

PATIENCE = 300
"""Seconds in which a process or a node starts, however busy the machine is."""


def note(log: Path, what: str) -> None:
    """Add a line to a file that many processes write."""
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{what} {os.getpid()}\n")


@dataclass
class Say:
    """A task of `Talker`."""

    word: str
    tries: int = 0

    @property
    def arguments(self) -> tuple[str]:
        return (self.word,)


class Talker(AbstractContextManager):
    """Answers a word in capitals; some words do it harm."""

    def __init__(self, log: Path, start: str = "well") -> None:
        if start == "refuse":
            raise ReelTagError("It refuses to start.")
        if start == "die":
            os._exit(3)
        self.log = log

    def __exit__(self, *fault: object) -> None:
        return

    def __call__(self, word: str) -> str:
        note(self.log, word)
        if word == "die" or (word == "die once" and self.log.read_text().count(word) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "fail":
            raise ValueError("not that word")
        return word.upper()


class Placed(Talker):
    """Tells the Ray node it lives on, once another worker has been asked as well."""

    def __call__(self, word: str) -> str:
        import ray

        note(self.log, word)
        deadline = time.monotonic() + PATIENCE
        while len({line.split()[-1] for line in self.log.read_text().splitlines()}) < 2:
            assert time.monotonic() < deadline, "there is no other worker"
            time.sleep(0.01)
        return ray.get_runtime_context().get_node_id()


class Blind(Talker):
    """Lives where no file can be seen."""

    def __call__(self, path: Path, names: object = None) -> str:
        Path.exists = lambda *_, **__: False  # in its own process, for the rest of its life
        raise ClipError(path, "it does not exist")


class NotingWorker(ClipWorker):
    """A clip worker that leaves a line for each clip, is slow and dies of those named poison."""

    def __init__(self, manifests, limits, log: Path, seconds: float = 0.0) -> None:
        super().__init__(manifests, limits)
        self.log, self.seconds = log, seconds

    def __call__(self, path, names=None):
        note(self.log, path.name)
        if path.name.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return super().__call__(path, names)
