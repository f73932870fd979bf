"""A process that has imported everything and run nothing: commands fork off it, and start at once.

`python -m tests.scale.nursery` reads orders (JSON lines: arguments, folder, log, environment) and
answers each with the process id of the command, which leads a process group, then with its exit
status. What is tested is the same command; only the seconds in which Python starts are spared.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any


class Nursery:
    """Starts commands as `subprocess.Popen` would, one at a time; a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.scale.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *fault: object) -> None:
        self._process.communicate()

    def start(self, arguments: list[str], folder: Path, log: Path) -> Forked:
        """Start `reeltag ARGUMENTS` in a folder; what it says goes to `log`."""
        assert self._process.stdin is not None
        cache = os.environ["REELTAG_CACHE"]
        order = {"arguments": arguments, "folder": str(folder), "log": str(log), "cache": cache}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return Forked(self._process.stdout)


class Forked:
    """A command that was forked off, with what the harness needs of `subprocess.Popen`."""

    def __init__(self, answers: Any) -> None:
        self._answers, self.pid = answers, int(answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises `TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("reeltag", timeout or 0.0)
            self.returncode = int(self._answers.readline())
        return self.returncode


def main() -> None:
    """Fork a command for each order."""
    import torch.optim.adam  # noqa: F401

    import reeltag.cli
    import reeltag.data.importers
    import reeltag.evaluation.evaluate
    import reeltag.experiments.export
    import reeltag.experiments.train
    import reeltag.features.job
    import reeltag.features.registry  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**order)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(arguments: list[str], folder: str, log: str, cache: str) -> None:
    """Be the command."""
    from reeltag.cli import main

    os.setsid()
    os.chdir(folder)
    os.environ["REELTAG_CACHE"] = cache
    told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(told, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["reeltag", *arguments]
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
