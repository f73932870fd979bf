"""A run in; what a real `reeltag serve` of it does over HTTP on this machine, out.

The service, its client and whatever else runs share the cores: what a request costs is told in
processor time, of the service and of the client, beside the wall clock.
"""

from __future__ import annotations

import multiprocessing
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.http_load import Load, ask_for_clips, form, load
from benchmarks.measure import figure
from reeltag.demo.sounds import RATE, sound

_SERVE = "from benchmarks.drawn import register; register(); from reeltag.cli import main; main()"
"""`reeltag` that knows the extractor of generated vectors."""
CALLERS = 8
SECONDS, RATE_OF_FRAMES, SIZE = 15, 30, (1280, 720)


@dataclass
class Process:
    """A service that answers."""

    address: str
    started: float
    """Seconds from its start until it was ready."""
    pid: int

    def cpu(self, *, family: bool = False) -> float:
        """Seconds of processor time so far; with `family`, its living children's too."""
        pids = _family(self.pid) if family else [self.pid]
        # clock_getcpuclockid(3): to the nanosecond
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)

    def memory(self) -> float:
        """MiB that it and its children hold now."""
        return sum(_resident(pid) for pid in _family(self.pid))


def _family(pid: int) -> list[int]:
    """A process and those it started, and those they did."""
    listed = (each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/children"))
    children = [int(child) for text in listed for child in text.split()]
    return [pid, *(each for child in children for each in _family(child))]


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def serving(run: Path, *options: str) -> Iterator[Process]:
    """`reeltag serve`, until this is left."""
    command = [sys.executable, "-c", _SERVE, "serve", str(run), "--port", "0", *options]
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        told = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"Ready: (\S+)", line):
                yield Process(found[1], time.perf_counter() - began, process.pid)
                break
        else:
            raise RuntimeError("".join(told))
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def client() -> Iterator[ProcessPoolExecutor]:
    """A process that asks."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def ready_features(
    run: Path, asked: Sequence[bytes], explained: Sequence[bytes], published: Sequence[bytes]
) -> dict[str, dict[str, Any]]:
    """Figures of a service whose callers have the features of their posts.

    Args:
        asked, explained: bodies for /v1/recommend, without and with reasons.
        published: bodies for /v1/posts.
    """
    with serving(run) as service, client() as person:

        def measured(*given: Any) -> tuple[Load, float]:
            person.submit(load, service.address, asked[:CALLERS], CALLERS).result()
            before = service.cpu()
            found = person.submit(load, service.address, *given).result()
            return found, service.cpu() - before

        plain = measured(asked, CALLERS)
        reasons = measured(explained, CALLERS)
        beside = measured(asked, CALLERS, published)
        memory, started = service.memory(), service.started
    return {
        **_rows("http", plain, "ready features, no reasons", (300, 40)),
        **_rows("http_explained", reasons, "reasons for ten hashtags"),
        **_rows("http_publishing", beside, f"{beside[0].published} posts published meanwhile"),
        "http_start": figure(started, "s", 8, "from the command to ready, an empty store"),
        "http_memory": figure(memory, "MiB", 1500, "the service after that, one tenant"),
    }


def _rows(
    name: str,
    found: tuple[Load, float],
    note: str,
    targets: tuple[float | None, float | None] = (None, None),
) -> dict[str, dict[str, Any]]:
    told, cpu = found
    count = len(told.taken)
    p50, p99 = np.percentile(told.taken, (50, 99))
    return {
        f"{name}_requests_per_second": figure(
            count / told.wall,
            "requests/s",
            targets[0],
            f"{CALLERS} callers over HTTP, {note}; {1e3 * cpu / count:.2f} ms of the service's "
            f"processor time each, {1e3 * told.cpu / count:.2f} of the client's "
            f"({100 * told.cpu / told.wall:.0f} % of a core)",
            want="above",
        ),
        f"{name}_p99": figure(p99, "ms", targets[1], f"p50 {p50:.0f} ms"),
    }


def clips(run: Path, folder: Path, times: int = 12) -> dict[str, dict[str, Any]]:
    """Figures of a run that reads clips: one of 15 s in 720p, sent again and again."""
    path = folder / "long.mp4"
    write_clip(path)
    body, kind = form({"caption": "live tonight", "explain": "false"}, path.read_bytes())
    with serving(run) as service, client() as person:
        person.submit(ask_for_clips, service.address, body, kind, 2).result()
        before = service.cpu(family=True)
        found = person.submit(ask_for_clips, service.address, body, kind, times).result()
        cpu = (service.cpu(family=True) - before) / times
        memory, started = service.memory(), service.started
    middle = {name: float(np.median([each[name] for each in found])) for name in found[0]}
    read = middle["decode"] + middle["features"]
    note = ", ".join(f"{name} {middle[name]:.0f} ms" for name in ("decode", "features", "score"))
    return {
        "http_clip_p50": figure(
            middle["wall"] / 1e3,
            "s",
            1.2,
            f"15 s, 720p, {RATE_OF_FRAMES} frames/s, sound, {len(body) / 1e6:.1f} MB; {note}; "
            f"{cpu:.2f} s of processor time",
        ),
        "http_clip_reading_share": figure(
            100 * read / middle["wall"], "%", 85, "of that, decode and backbones", want="above"
        ),
        "http_clip_memory": figure(
            memory, "MiB", 1500, "the service and its decoders, default extractors, few hashtags"
        ),
        "http_clip_start": figure(started, "s", None, "to ready, the demo's run"),
    }


def write_clip(path: Path) -> None:
    """A camera that pans over a landscape of noise, with grain, in H.264; and music."""
    rng = np.random.default_rng(0)
    width, height = SIZE
    count = SECONDS * RATE_OF_FRAMES
    coarse = rng.integers(0, 255, (height // 40, (width + 4 * count) // 40 + 1, 3))
    land = coarse.repeat(40, 0).repeat(40, 1).astype(np.int16)
    grain = rng.integers(-16, 17, (2 * height, width, 3), dtype=np.int16)
    wave = sound("band", rng, float(SECONDS))
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=RATE_OF_FRAMES)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"preset": "veryfast", "crf": "25"}
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for number in range(count):
            seen = land[:, 4 * number : 4 * number + width]
            rough = grain[(37 * number) % height :][:height]
            pixels = np.clip(seen + rough, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE_OF_FRAMES)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(wave[None, :], format="fltp", layout="mono")
        samples.sample_rate, samples.pts, samples.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(audio.encode(samples))
        container.mux(audio.encode())
