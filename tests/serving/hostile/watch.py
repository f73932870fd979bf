"""A service in; what it holds of the machine, and whether it still answers, out."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.serving.served import Served


@dataclass(frozen=True)
class Held:
    """What this process, in which the service runs, holds."""

    files: int
    children: int
    descriptors: int


def held(service: Served) -> Held:
    """Files of clips, child processes and open descriptors."""
    files = list(uploads(service).iterdir())
    return Held(len(files), len(children()), len(os.listdir("/proc/self/fd")))


def children() -> list[int]:
    """Decoders that this process started, and any child that ended and was not waited for."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that just ended
            for pid in (task / "children").read_text().split():
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                found += [int(pid)] if not command or b"reeltag.media.child" in command else []
    return found


def wait_until_dead(process: int) -> None:
    """A process that was killed lives on for a moment, longer on a busy machine."""
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{process}/cmdline").read_bytes():
            time.sleep(0.01)


def uploads(service: Served) -> Path:
    """Where its clips lie."""
    assert service.settings.uploads_folder is not None
    return service.settings.uploads_folder


def sent(service: Served, clip: bytes, name: str = "clip.mp4", **fields: str) -> httpx.Response:
    """The answer to a clip, or to anything that is sent as one."""
    return service.client.post("/v1/recommend", files={"clip": (name, clip)}, data=fields)


def warmed(service: Served, clip: bytes) -> Held:
    """What it holds once all of its decoders have read a good clip."""
    with ThreadPoolExecutor(4) as senders:
        for _ in range(3):  # at once: a thread that waits would do the next one's work
            answers = list(senders.map(lambda _: sent(service, clip), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    return held(service)


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """Kind and message of a refusal that is the client's fault; the form is always the same."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"kind", "message"}
    assert error["message"]
    assert len(answer.text) < 2000
    return error


def assert_unharmed(service: Served, clip: bytes, before: Held) -> None:
    """A good clip is answered, and nothing stayed behind once connections are closed."""
    assert sent(service, clip).status_code == 200
    for _ in range(600):
        now = held(service)
        more = now.children > before.children or now.descriptors > before.descriptors
        if not (now.files or more):
            return
        time.sleep(0.05)
    raise AssertionError(f"It held {before} before, and 30 s later it still holds {now}.")
