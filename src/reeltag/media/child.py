"""The decoder's child process: requests come in on standard input, frames and sound go out.

Before it touches a clip it takes limits on itself that a clip cannot lift: no core dump,
no file written, few descriptors, no new process; and for every clip a bound on memory and
processor time. Started by `reeltag.media.decode`, never imported by anything else.
"""

from __future__ import annotations

import os
import resource
import time
from typing import Any

import av
import numpy as np

from reeltag.media.reader import RefusedError, Result, read
from reeltag.media.wire import ClosedError, receive, send

MAX_REQUEST = 1 << 20


def main() -> None:
    """Answer requests until standard input ends."""
    source, target = _take_pipes()
    av.logging.set_level(av.logging.PANIC)
    _warm()
    for what, value in (("CORE", 0), ("FSIZE", 0), ("NOFILE", 64), ("NPROC", 0)):
        _limit(what, value)
    try:
        send(target, {"ready": True})
        while True:
            request, _ = receive(source, max_bytes=MAX_REQUEST)
            header, body = _answer(request)
            send(target, header, body)
            del header, body
    except ClosedError:
        return


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], list[memoryview]]:
    limits = request["limits"]
    if limits["threads"] > 1:
        _limit("NPROC", None)
    _limit("AS", _address_space() + (limits["memory_mb"] << 20))
    spent = time.process_time()
    _limit("CPU", int(spent + limits["wall_seconds"] * limits["threads"]) + 2)
    try:
        return _pack(read(request["path"], request["wants"], limits))
    except RefusedError as refusal:
        return {"error": str(refusal)}, []
    except MemoryError:
        return {"error": f"reading it takes more than {limits['memory_mb']} MiB of memory"}, []
    except Exception as fault:
        memory = "Cannot allocate memory" in str(fault)
        if memory:
            return {"error": f"reading it takes more than {limits['memory_mb']} MiB of memory"}, []
        return {"error": f"it cannot be read ({type(fault).__name__}: {str(fault)[:200]})"}, []


def _pack(result: Result) -> tuple[dict[str, Any], list[memoryview]]:
    body: list[memoryview] = []
    frames: list[Any] = []
    sounds: list[int | None] = []
    for found in result.frames:
        if found is None:
            frames.append(None)
            continue
        values, times = found
        frames.append({"count": len(values), "times": times})
        body.append(np.ascontiguousarray(values).data)
    for sound in result.sounds:
        sounds.append(None if sound is None else len(sound))
        if sound is not None:
            body.append(np.ascontiguousarray(sound, dtype="<f4").data)
    header = {
        "frames": frames,
        "sounds": sounds,
        "duration": result.duration,
        "warnings": result.warnings,
    }
    return header, body


def _take_pipes() -> tuple[int, int]:
    """Keep the two pipes to ourselves: what a library prints goes nowhere."""
    source, target = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return source, target


def _warm() -> None:
    """Load what loads late, before descriptors and processes are limited."""
    picture = av.VideoFrame(16, 16, "yuv420p").reformat(width=8, height=8, format="rgb24")
    picture.to_ndarray()
    av.AudioResampler(format="flt", layout="mono", rate=16000)


def _address_space() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 2 << 30


def _limit(what: str, value: int | None) -> None:
    """Set a soft limit; systems without it, or with a lower hard one, keep theirs."""
    kind = getattr(resource, f"RLIMIT_{what}", None)
    if kind is None:
        return
    _, hard = resource.getrlimit(kind)
    if value is None:
        value = hard
    elif hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, hard))
    except (ValueError, OSError):
        return
