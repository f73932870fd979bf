"""A service that is told to stop finishes what it accepted, then ends with 0."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from reeltag.serving.store import Store
from tests.serving.hostile.bytes import head, part, read_all
from tests.serving.process import ended, started

LOST = "without sending a response"
"""Of a connection that was closed before its request was taken in."""


def children_of(pid: int) -> list[int]:
    """The processes that another one started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


class Caller(Thread):
    """Asks the same again and again, until nobody listens."""

    def __init__(self, address: str, number: int, clip: bytes) -> None:
        super().__init__()
        self.address, self.number, self.clip = address, number, clip
        self.answers, self.published = list[int](), list[str]()
        self.fault: Exception | None = None

    def run(self) -> None:
        """Ask."""
        with httpx.Client(base_url=self.address, timeout=60) as client:
            try:
                while True:
                    self.ask(client)
            except (httpx.ConnectError, httpx.ReadError, httpx.WriteError) as fault:
                self.fault = fault
            except httpx.RemoteProtocolError as fault:
                self.fault = fault if LOST in str(fault) else AssertionError(str(fault))

    def ask(self, client: httpx.Client) -> None:
        """Ask once: a third of the callers each publish, send clips and write captions."""
        kind = self.number % 3
        if kind == 0:
            post = f"{self.number}-{len(self.answers)}"
            said: dict[str, Any] = {"post": post, "user": "ann", "hashtags": ["comet"]}
            answer = client.post("/v1/posts", json=said)
            self.published += [post] if answer.status_code == 201 else []
        elif kind == 1:
            answer = client.post("/v1/recommend", files={"clip": self.clip})
        else:
            answer = client.post("/v1/recommend", json={"user": "ann", "k": 3})
        answer.json()
        self.answers.append(answer.status_code)


def test_what_was_accepted_is_answered(run: Path, clip: bytes, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    process, address = started(run, "--store", url)
    callers = [Caller(address, number, clip) for number in range(6)]
    for caller in callers:
        caller.start()
    while not all(len(caller.answers) >= 5 for caller in callers):
        time.sleep(0.01)
    process.terminate()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
        assert not isinstance(caller.fault, AssertionError), caller.fault
    assert ended(process) == 0
    assert {status for caller in callers for status in caller.answers} <= {200, 201, 503}
    store = Store.open(url)
    kept = {post.post for _, post in store.posts()}
    shown = store.count("recommendations")
    store.close()
    assert kept == {post for caller in callers for post in caller.published}
    answered = [s for c in callers if c.number % 3 for s in c.answers if s == 200]
    assert shown >= len(answered)


def test_a_clip_and_a_body_that_are_under_way_are_answered(
    run: Path, clip: bytes, tmp_path: Path
) -> None:
    process, address = started(run, "--store", f"sqlite:///{tmp_path}/store.sqlite")
    try:
        assert httpx.post(f"{address}/v1/recommend", files={"clip": clip}).status_code == 200
        decoders = children_of(process.pid)
        for decoder in decoders:
            os.kill(decoder, signal.SIGSTOP)
        answers: list[int] = []
        caller = Thread(target=lambda: answers.append(recommended(address, clip)))
        caller.start()
        while 'queue_depth{queue="clips"} 1' not in httpx.get(f"{address}/metrics").text:
            time.sleep(0.01)
        host, port = address.removeprefix("http://").split(":")
        content = part(clip) + b"--x--\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as slow:
            slow.sendall(head(address, Content_Length=len(content)) + content[:300])
            assert listens(address)
            process.terminate()
            while listens(address):
                time.sleep(0.05)
            assert process.poll() is None
            for decoder in decoders:
                os.kill(decoder, signal.SIGCONT)
            slow.sendall(content[300:])
            assert read_all(slow).startswith(b"HTTP/1.1 200 ")
        caller.join()
        assert answers == [200]
        assert ended(process) == 0
        for decoder in decoders:
            with pytest.raises(ProcessLookupError):
                os.kill(decoder, 0)
    finally:
        process.kill()


def recommended(address: str, clip: bytes) -> int:
    """The status of the answer to a clip."""
    answer = httpx.post(f"{address}/v1/recommend", files={"clip": clip}, timeout=60)
    return answer.status_code


def listens(address: str) -> bool:
    """Whether a new connection is taken."""
    try:
        httpx.get(f"{address}/health/live")
    except httpx.HTTPError:
        return False
    return True
