"""Power cuts: a command and its folder in; what stands there after kills and a last, whole run out.

A cut kills the command's whole process group (SIGKILL) at a random moment after it first touched
its folder. Folders are compared by what they say (`content_of`): all bytes but the seconds that
training took.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

EMPTY = "an empty folder"
_SECONDS = (
    re.compile(rb"\nseconds = [0-9.e+-]+"),  # run.toml
    re.compile(rb'"seconds": [0-9.e+-]+'),  # run.json
    re.compile(rb"\| training time \| [0-9.]+ s \|"),  # the model card
    re.compile(rb"# sha256 [0-9a-f]{64}\n"),  # of a document with the seconds
)
Start = Callable[[list[str], Path, Path], Any]
"""(arguments, folder, log) → a process with what is used here of `subprocess.Popen`."""
_PATIENCE = 120.0
"""Seconds after which a command that touched nothing is given up."""


def content_of(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below `folder` by its name there, but for how long training took."""
    return {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() or (path.is_dir() and not any(path.iterdir()))
    }


def half_written(folder: Path, *wholes: Mapping[str, str]) -> list[str]:
    """Files under a final name that are none of the `wholes`. Checkpoints are their own judges."""
    return [
        name
        for name, digest in content_of(folder).items()
        if digest != EMPTY
        and not any(part.startswith(".") for part in Path(name).parts)
        and not name.endswith("checkpoint.safetensors")
        and digest not in [whole.get(name) for whole in wholes]
    ]


def _digest(path: Path) -> str:
    if path.is_dir():
        return EMPTY
    content = path.read_bytes()
    if path.name == "run.json":
        about = json.loads(content)
        about["sha256"].pop("README.md")
        content = json.dumps(about).encode()
    if path.suffix in {".toml", ".json", ".md"}:
        for pattern in _SECONDS:
            content = pattern.sub(b"", content)
    return hashlib.sha256(content).hexdigest()


@dataclass
class Cuts:
    """What became of a command that was cut again and again."""

    kills: int = 0
    """Kills that met it at work."""
    roads: int = 0
    """Times it came to its end after them, each time to the same content."""
    seen: set[str] = field(default_factory=set)
    """What the kills met: names under the folder that were there, and are not in the end."""


def cut(
    prepare: Callable[[Path], None],
    arguments: list[str],
    root: Path,
    kills: int,
    *,
    start: Start | None = None,
    chain: int = 5,
    seed: int = 0,
) -> Cuts:
    """Kill `reeltag ARGUMENTS` so often, at most `chain` times on one road to its end.

    Asserts that no file under a final name is ever half-written, and that what stands in the
    end is what stands after a run that was not killed.
    """
    folder, draw, cuts = root / "work", random.Random(f"{arguments} {seed}"), Cuts()
    fresh = root / "start"
    fresh.mkdir(parents=True)
    prepare(fresh)
    shutil.copytree(fresh, folder)
    before = content_of(folder)
    run = partial(_run, start or begin, arguments, folder)
    span = run(None)
    assert span is not None
    expected = content_of(folder)
    assert expected != before
    while cuts.kills < kills:
        shutil.rmtree(folder)
        shutil.copytree(fresh, folder)
        ended, left = False, draw.randint(1, chain)
        while not ended:
            last = not left or cuts.kills == kills
            ended = run(None if last else draw.uniform(0, span)) is not None
            if not ended:
                left, cuts.kills = left - 1, cuts.kills + 1
                wrong = half_written(folder, before, expected)
                assert not wrong, (cuts, wrong)
                cuts.seen |= set(content_of(folder)) - set(expected)
        found = content_of(folder)
        wrong = [name for name in found | expected if found.get(name) != expected.get(name)]
        assert not wrong, (cuts, wrong)
        cuts.roads += 1
    return cuts


def begin(arguments: list[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start `reeltag ARGUMENTS` in a folder and a process group of its own."""
    with log.open("wb") as told:
        return subprocess.Popen(
            [sys.executable, "-m", "reeltag", *arguments],
            cwd=folder,
            stdout=told,
            stderr=told,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def _run(start: Start, arguments: list[str], folder: Path, moment: float | None) -> float | None:
    """Run the command; kill it `moment` seconds after it touched its folder, if that comes first.

    Returns the seconds from there to its last touch; None where it was killed.
    """
    before, log = _stamps(folder), folder.with_name("log")
    process, begun = start(arguments, folder, log), time.monotonic()
    while process.poll() is None and _stamps(folder) == before:
        assert time.monotonic() < begun + _PATIENCE, log.read_text()
        time.sleep(0.002)
    touched = last = time.monotonic()
    while moment is None and process.poll() is None:
        now = _stamps(folder)
        if now != before:
            before, last = now, time.monotonic()
        time.sleep(0.01)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None
    assert process.returncode == 0, log.read_text()
    return last - touched


def _stamps(folder: Path) -> list[tuple[str, int]]:
    """What is in a folder and when each was changed."""
    return [(entry.path, entry.stat().st_mtime_ns) for entry in os.scandir(folder)] + [
        (entry.path, entry.stat().st_mtime_ns)
        for inner in os.scandir(folder)
        if inner.is_dir()
        for entry in os.scandir(inner)
    ]
