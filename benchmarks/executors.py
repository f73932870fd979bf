"""What Ray costs a clip against processes of this machine, and what a second worker brings.

Both executors have their workers ready before anything is timed, and take turns clip by clip, so
that other work on the machine slows both alike; figures are medians over turns.

    python -m benchmarks executors
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.extraction import write_clip
from benchmarks.measure import figure
from reeltag.features.pool import ProcessPool, Task
from reeltag.features.pool_rules import Pool
from reeltag.features.registry import DEFAULTS, make
from reeltag.features.worker import ClipWorker
from reeltag.media.limits import Limits
from reeltag.scale.ray_pool import RayPool

TURNS = 24
"""Clips that each executor reads for the overhead."""
CLIPS = 16
"""Clips that each number of workers reads for the scaling."""
WANTED = 5.0
"""Per cent of a clip's time that Ray may cost."""
BYTES = (6 << 10, 2 << 20)
"""Answers as large as the default vectors, and as a clip's regions."""


class Idle(AbstractContextManager["Idle"]):
    """Answers at once, so many bytes: what is timed then is the way there and back."""

    def __exit__(self, *fault: object) -> None:
        return

    def __call__(self, size: int, names: Any = None) -> dict[str, Any]:
        return {"values": np.zeros(size, np.uint8)}


def main() -> dict[str, dict[str, Any]]:
    """Measure and return {name: {"value", "unit", "target", "ok", "note"}}."""
    # Ray's workers stand back for other work (nice 15); processes of a pool do not.
    os.environ.setdefault("RAY_worker_niceness", "0")
    folder = Path(tempfile.mkdtemp(prefix="reeltag-bench-"))
    try:
        clip = write_clip(folder / "clip.mp4", gop=30)
        return {**_round_trips(), **_overhead(clip), **_scaling(clip)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _round_trips() -> dict[str, dict[str, Any]]:
    """A task that costs nothing, on one worker: milliseconds each, and what Ray adds."""
    found = {}
    for size in BYTES:
        with ProcessPool(Idle, 1) as local, RayPool(Idle, 1) as ray:
            task = [Task(0, size, ())]  # type: ignore[arg-type]
            here, there = _turns(local, task, 200), _turns(ray, task, 200)
        found[f"ray_adds_to_an_answer_of_{size >> 10}_kib"] = figure(
            there - here, "ms", None, f"there and back: Ray {there:.2f}, a process {here:.2f} ms"
        )
    return found


def _overhead(clip: Path) -> dict[str, dict[str, Any]]:
    """The default features of a 15 s clip, by turns."""
    manifests, names = _wanted()
    task = [Task(0, clip, names)]
    times: dict[str, list[float]] = {"local": [], "ray": []}
    start = partial(ClipWorker, manifests, Limits())
    with ProcessPool(start, 1) as local, RayPool(start, 1) as ray:
        pools = {"local": local, "ray": ray}
        for pool in pools.values():
            _turns(pool, task, 2)
        for _ in range(TURNS):
            for name, pool in pools.items():
                times[name].append(_turns(pool, task, 1))
    here, there = (statistics.median(times[name]) for name in ("local", "ray"))
    least = min(times["ray"]) / min(times["local"]) - 1
    return {
        "ray_overhead_a_clip": figure(
            100 * (there / here - 1),
            "%",
            WANTED,
            f"a clip: Ray {there:.0f}, a process {here:.0f} ms, medians of {TURNS} by turns "
            f"({100 * least:+.1f} % between the fastest); {_busy()}",
        )
    }


def _scaling(clip: Path) -> dict[str, dict[str, Any]]:
    """Clips a second of two workers against twice those of one."""
    manifests, names = _wanted()
    found = {}
    for name, kind in (("local", ProcessPool), ("ray", RayPool)):
        seconds = {}
        for workers in (1, 2):
            with kind(partial(ClipWorker, manifests, Limits()), workers) as pool:
                tasks = [Task(n, clip, names) for n in range(workers)]
                while sum(w.ready for w in pool._workers) < workers:
                    list(pool.run(tasks))
                begin = time.perf_counter()
                done = list(pool.run(Task(n, clip, names) for n in range(CLIPS)))
                seconds[workers] = time.perf_counter() - begin
            assert len(done) == CLIPS
        found[f"{name}_scaling_from_1_to_2_workers"] = figure(
            seconds[1] / (2 * seconds[2]),
            "of twice",
            None,
            f"{CLIPS} clips in {seconds[1]:.1f} and {seconds[2]:.1f} s; {_busy()}",
            "above",
        )
    return found


def _wanted() -> tuple[list[Any], tuple[str, ...]]:
    extractors = [make(modality, DEFAULTS[modality]) for modality in ("visual", "acoustic")]
    for extractor in extractors:
        extractor.prepare()
    manifests = [extractor.manifest() for extractor in extractors]
    return manifests, tuple(manifest.name for manifest in manifests)


def _turns(pool: Pool[Any], tasks: Iterable[Task], times: int) -> float:
    """Median milliseconds of running `tasks` on `pool`."""
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        for _, answer in pool.run(tasks):
            assert not isinstance(answer, str), answer
        found.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(found)


def _busy() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, load {os.getloadavg()[0]:.1f} while it ran"
