"""`reeltag serve` as a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def begun(*arguments: str | Path) -> subprocess.Popen[str]:
    """A service that is starting, on a free port."""
    command = [sys.executable, "-m", "reeltag", "serve", *map(str, arguments), "--port", "0"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def ready(process: subprocess.Popen[str]) -> str:
    """Its address, once it answers."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"Ready: (\S+)", line):
            return found[1]
    raise AssertionError(f"it ended with {process.wait()} before it was ready")


def started(*arguments: str | Path) -> tuple[subprocess.Popen[str], str]:
    """A service, and its address once it is ready."""
    process = begun(*arguments)
    return process, ready(process)


def ended(process: subprocess.Popen[str]) -> int:
    """Its exit code, once it has ended."""
    code = process.wait(timeout=60)
    assert process.stderr is not None
    process.stderr.close()
    return code
