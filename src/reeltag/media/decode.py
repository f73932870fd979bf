"""A path and a request go in, `Decoded` comes out: frames, sound, duration and warnings.

The clip is read in a child process (`reeltag.media.child`) that is killed when it takes
too long or dies of its own; either way the caller gets a `ClipError` and lives on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.errors import ClipError, MissingExtraError
from reeltag.media.limits import Limits
from reeltag.media.request import Frames, Request, Sound, to_json
from reeltag.media.wire import ClosedError, GarbledError, LateError, receive, send

START_SECONDS = 60.0
_PACKAGE = Path(__file__).resolve().parent.parent
# The child gets the package without running its __init__: it must not load torch.
_BOOT = """
import json, sys, types
root, sys.path[:] = sys.argv[1], json.loads(sys.argv[2])
package = types.ModuleType("reeltag"); package.__path__ = [root]
sys.modules["reeltag"] = package
from reeltag.media.child import main
main()
"""


@dataclass(frozen=True)
class Decoded:
    """What a clip gave for one request."""

    frames: NDArray[np.uint8] | None
    """RGB, (n, size, size, 3), in the order shown; None: not wanted or no pictures."""
    frame_times: tuple[float, ...]
    """Seconds from the first picture, one a frame."""
    sound: NDArray[np.float32] | None
    """Mono, (samples,), in [-1, 1]; None: not wanted or no sound."""
    rate: int | None
    """Samples a second of `sound`."""
    duration: float
    """Seconds, of the part that was read; 0 where it is unknown."""
    warnings: tuple[str, ...] = field(default=())


class Decoder:
    """Decodes clips one after another through one child process, made new when it dies.

    Threads may share a decoder; they take turns.

    Args:
        limits: what one clip may cost.
        recycle: clips after which the child is replaced, dropping whatever it leaked.

    Example:
        with Decoder() as decoder:
            decoded = decoder.decode("band.mp4", Request(Frames(8, 240), Sound(16000)))
    """

    def __init__(self, limits: Limits | None = None, *, recycle: int = 200) -> None:
        if importlib.util.find_spec("av") is None:
            raise MissingExtraError("PyAV (av)", "media")
        self.limits, self._recycle = limits or Limits(), recycle
        self._child: subprocess.Popen[bytes] | None = None
        self._clips = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return None if self._child is None else self._child.pid

    def decode(self, path: Path | str, request: Request) -> Decoded:
        """Decode one clip. Raises `ClipError` with the reason, whatever the clip does."""
        return self.decode_many(path, [request])[0]

    def decode_many(self, path: Path | str, requests: Sequence[Request]) -> list[Decoded]:
        """Answer several requests about one clip, which is decoded once. Raises `ClipError`."""
        frames = list(dict.fromkeys(r.frames for r in requests if r.frames is not None))
        sounds = list(dict.fromkeys(r.sound for r in requests if r.sound is not None))
        if not frames and not sounds:
            return [Decoded(None, (), None, None, 0.0) for _ in requests]
        with self._lock:
            header, body = self._ask(Path(path), frames, sounds)
        if "error" in header:
            raise ClipError(path, str(header["error"]))
        try:
            return _unpack(header, body, requests, frames, sounds)
        except (KeyError, TypeError, ValueError, IndexError) as fault:
            self.close(kill=True)
            raise ClipError(path, "the decoder gave a garbled answer") from fault

    def close(self, *, kill: bool = False) -> None:
        """End the child. The decoder starts another when it is used again."""
        child, self._child = self._child, None
        if child is None:
            return
        assert child.stdin is not None
        assert child.stdout is not None
        if kill:
            child.kill()
        with contextlib.suppress(OSError):
            child.stdin.close()
        child.stdout.close()
        try:
            child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _ask(
        self, path: Path, frames: list[Frames], sounds: list[Sound]
    ) -> tuple[dict[str, Any], memoryview]:
        question = {
            "path": os.path.abspath(path),
            "wants": to_json(frames, sounds),
            "limits": self.limits.model_dump(),
        }
        most = _most_bytes(frames, sounds, self.limits)
        child = self._ready(path)
        assert child.stdin is not None
        assert child.stdout is not None
        deadline = time.monotonic() + self.limits.wall_seconds
        try:
            send(child.stdin.fileno(), question)
            return receive(child.stdout.fileno(), deadline=deadline, max_bytes=most)
        except LateError:
            reason = f"decoding took more than {self.limits.wall_seconds:g} seconds"
        except GarbledError:
            reason = "the decoder gave a garbled answer"
        except ClosedError:
            reason = _how_it_died(child)
        except BaseException:
            self.close(kill=True)  # an answer to come would be taken for the next clip's
            raise
        self.close(kill=True)
        raise ClipError(path, reason)

    def _ready(self, path: Path) -> subprocess.Popen[bytes]:
        if self._child is not None and (
            self._clips >= self._recycle or self._child.poll() is not None
        ):
            self.close()
        if self._child is None:
            self._child, self._clips = self._start(), 0
            assert self._child.stdout is not None
            try:
                receive(self._child.stdout.fileno(), deadline=time.monotonic() + START_SECONDS)
            except (ClosedError, LateError, GarbledError) as fault:
                self.close(kill=True)
                raise ClipError(path, "the decoder process did not start") from fault
            except BaseException:
                self.close(kill=True)
                raise
        self._clips += 1
        return self._child

    def _command(self) -> list[str]:
        search = json.dumps([entry for entry in sys.path if entry])
        return [sys.executable, "-I", "-c", _BOOT, str(_PACKAGE), search]

    def _start(self) -> subprocess.Popen[bytes]:
        keep = {k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "TMPDIR", "LANG")}
        return subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            process_group=0,  # Ctrl-C is for the parent to handle
            env={**keep, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )


def decode(path: Path | str, request: Request, limits: Limits | None = None) -> Decoded:
    """Decode one clip in a child process of its own. Raises `ClipError`."""
    with Decoder(limits) as decoder:
        return decoder.decode(path, request)


def _most_bytes(frames: list[Frames], sounds: list[Sound], limits: Limits) -> int:
    pictures = sum(f.count * f.size * f.size * 3 for f in frames)
    return pictures + sum(4 * (int(_seconds(s, limits) * s.rate) + 1) for s in sounds)


def _seconds(sound: Sound, limits: Limits) -> float:
    return min(limits.max_duration, sound.seconds or limits.max_duration)


def _unpack(
    header: dict[str, Any],
    body: memoryview,
    requests: Sequence[Request],
    frames: list[Frames],
    sounds: list[Sound],
) -> list[Decoded]:
    at = 0
    pictures: dict[Frames, tuple[NDArray[np.uint8], tuple[float, ...]]] = {}
    for want, found in zip(frames, header["frames"], strict=True):
        if found is None:
            continue
        shape = (int(found["count"]), want.size, want.size, 3)
        values = np.frombuffer(body, np.uint8, int(np.prod(shape)), at).reshape(shape)
        at += values.nbytes
        pictures[want] = values, tuple(float(t) for t in found["times"])
    heard: dict[Sound, NDArray[np.float32]] = {}
    for sound, samples in zip(sounds, header["sounds"], strict=True):
        if samples is not None:
            heard[sound] = np.frombuffer(body, "<f4", int(samples), at)
            at += heard[sound].nbytes
    warnings = tuple(str(w) for w in header["warnings"])
    answers = []
    for request in requests:
        shots = pictures.get(request.frames) if request.frames else None
        noise = heard.get(request.sound) if request.sound else None
        answers.append(
            Decoded(
                frames=None if shots is None else shots[0],
                frame_times=() if shots is None else shots[1],
                sound=noise,
                rate=request.sound.rate if request.sound and noise is not None else None,
                duration=float(header["duration"]),
                warnings=warnings,
            )
        )
    return answers


def _how_it_died(child: subprocess.Popen[bytes]) -> str:
    try:
        code = child.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return "the decoder stopped answering"
    if code < 0:
        return f"the decoder was ended by signal {-code} (out of time or memory, or a bad clip)"
    return f"the decoder ended with status {code}"
