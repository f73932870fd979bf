"""Clients who are slow, silent or too many: whoever asks well is answered meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from reeltag.serving import body
from reeltag.serving.protocol import Guarded
from tests.serving.hostile.bytes import connected, head, part, read_all
from tests.serving.hostile.watch import Held, assert_unharmed, refusal, sent, uploads
from tests.serving.served import Served, served

END = b"--x--\r\n"


def dripping(connection: socket.socket, content: bytes, stopped: Event) -> None:
    """Send a byte a tenth of a second until nobody takes it any more."""
    for at in range(len(content)):
        if stopped.wait(0.1):
            return
        try:
            connection.sendall(content[at : at + 1])
        except OSError:
            return


def test_who_drips_holds_nobody_up(
    service: Served, clip: bytes, before: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guarded, "head_seconds", 2)
    stopped, whole = Event(), part(clip)
    drips: dict[str, Callable[[], tuple[bytes, bytes]]] = {
        "clip": lambda: (head(service.address, Content_Length=10**6) + whole[:200], whole[200:]),
        "json": lambda: (
            head(service.address, "application/json", Content_Length=10**6),
            b" " * 900,
        ),
        "head": lambda: (head(service.address)[:40], b"a" * 900),
        "nothing": lambda: (b"", b""),
    }
    with ExitStack() as held:
        slow = []
        for _ in range(4 * service.settings.uploads):
            for drip in drips.values():
                first, rest = drip()
                connection = held.enter_context(connected(service))
                connection.sendall(first)
                slow.append(connection)
                thread = Thread(target=dripping, args=(connection, rest, stopped))
                thread.start()
                held.callback(thread.join)
        held.callback(stopped.set)
        for _ in range(3):
            assert sent(service, clip).status_code == 200
            assert service.recommend(caption="a")["hashtags"]
        answers = [read_all(connection) for connection in slow]
    told = [answer.split(b"\r\n")[0] for answer in answers]
    for at, kind in enumerate(drips):
        got = set(told[at :: len(drips)])
        assert got == ({b"HTTP/1.1 408 Request Timeout"} if kind in ("clip", "json") else {b""})
    assert_unharmed(service, clip, before)


def test_who_does_not_read_is_given_up(
    service: Served, clip: bytes, before: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guarded, "read_seconds", 0.3)
    with connected(service) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = head(service.address).replace(b"POST /v1/recommend", b"GET /openapi.json")
        ask = ask.replace(b"multipart/form-data; boundary=x", b"text/plain")
        with pytest.raises(ConnectionError):
            pour(deaf, ask)
    assert_unharmed(service, clip, before)


def pour(connection: socket.socket, ask: bytes) -> None:
    """Ask and ask again, and read nothing."""
    while True:
        connection.sendall(ask)


def test_connections_are_bounded(
    service: Served, clip: bytes, before: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guarded, "most", 20)
    monkeypatch.setattr(Guarded, "head_seconds", 1)
    with ExitStack() as held:
        many = [held.enter_context(connected(service)) for _ in range(30)]
        answers = [read_all(connection) for connection in many]
    refused = [answer for answer in answers if answer]
    assert 10 <= len(refused) <= 12
    for answer in refused:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 2\r\n" in answer
        assert b'{"error": {"kind": "overloaded"' in answer
    assert_unharmed(service, clip, before)


def test_bodies_in_memory_are_bounded(run: Path, tmp_path: Path) -> None:
    with served(run, tmp_path, json_mb=1, patience=60) as service:
        typed = {"Content-Type": "application/json"}

        def asked() -> httpx.Response:
            time.sleep(0.05)  # what is sent comes in its time
            return service.client.post("/v1/recommend", content=b" " * 900_000, headers=typed)

        with ExitStack() as held:
            for _ in range(50 * body.BODIES):
                connection = held.enter_context(connected(service))
                connection.sendall(
                    head(service.address, typed["Content-Type"], Content_Length=1_000_000)
                )
                connection.sendall(b" " * 950_000)
                busy = asked()
                if busy.status_code == 503:
                    break
            assert busy.json()["error"]["kind"] == "overloaded"
            assert int(busy.headers["retry-after"]) >= 1
            assert service.recommend(caption="a")["hashtags"]
        for _ in range(600):
            if (freed := asked()).status_code == 422:
                break
        assert refusal(freed)["kind"] == "input"


def test_a_disk_of_clips_is_bounded(run: Path, clip: bytes, tmp_path: Path) -> None:
    with served(run, tmp_path, body_mb=1, uploads=2, decoders=1) as service:
        most = service.settings.uploads * service.settings.body_mb * 1_000_000
        seen, ended = [0], Event()

        def watch() -> None:
            while not ended.wait(0.002):
                seen.append(sum(size_of(path) for path in uploads(service).iterdir()))

        watcher = Thread(target=watch)
        watcher.start()
        large = clip + bytes(990_000 - len(clip))
        with ThreadPoolExecutor(12) as senders:
            answers = list(senders.map(lambda _: sent(service, large).status_code, range(48)))
        ended.set()
        watcher.join()
        assert set(answers) == {200, 503}
        assert 0 < max(seen) <= most
        assert list(uploads(service).iterdir()) == []


def size_of(path: Path) -> int:
    """Bytes of a file that may be gone by now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_too_much_is_refused_at_once_and_the_rest_is_answered(
    run: Path, clip: bytes, tmp_path: Path
) -> None:
    settings = {"engine": {"queue": 4}, "uploads": 2, "decoders": 1}
    with served(run, tmp_path, **settings) as service:
        assert sent(service, clip).status_code == 200
        blocked, free = Event(), Event()

        def block() -> None:
            blocked.set()
            free.wait()

        service.engine._intake.notify(block)
        blocked.wait()
        with ThreadPoolExecutor(24) as asking:
            waiting = [
                asking.submit(service.client.post, "/v1/recommend", json={"caption": "a"})
                for _ in range(12)
            ] + [asking.submit(sent, service, clip) for _ in range(12)]
            while sum(future.done() for future in waiting) < 20:
                time.sleep(0.01)  # as many are refused while the engine stands still
            assert service.engine.depth == 4
            for future in waiting:
                if future.done():
                    answer = future.result()
                    assert answer.status_code == 503, answer.text
                    assert answer.json()["error"]["kind"] == "overloaded"
                    assert int(answer.headers["retry-after"]) >= 1
            live = service.client.get("/health/live")
            assert live.status_code == 200
            free.set()
            statuses = [future.result().status_code for future in waiting]
        assert statuses.count(200) == 4
        assert statuses.count(503) == 20
        assert refusal(sent(service, b"x"))["kind"] == "clip"


GARBAGE = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "zeros": bytes(100_000),
    "version": b"GET /\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "large head": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "many heads": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 50_000 + b"\r\n",
    "address": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /v1/recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n"
    b"Content-Length: 9\r\n\r\n{}",
    "chunk": b"POST /v1/recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_http_is_refused(service: Served, clip: bytes, before: Held, name: str) -> None:
    with connected(service) as stranger:
        with suppress(ConnectionError):  # it is refused before its end
            stranger.sendall(GARBAGE[name])
        answer = read_all(stranger)
    if answer:
        assert 400 <= int(answer.split()[1]) < 500
        assert b'{"error": {"kind": "bad_request"' in answer
    else:
        assert len(GARBAGE[name]) > 65_536  # what is left unread may take the answer with it
    assert_unharmed(service, clip, before)


def test_a_disk_that_takes_no_clips_is_told(run: Path, clip: bytes, tmp_path: Path) -> None:
    with served(run, tmp_path) as service:
        uploads(service).rmdir()
        answer = sent(service, clip)
        assert answer.status_code == 503
        assert answer.json()["error"]["kind"] == "overloaded"
        uploads(service).mkdir()
        assert sent(service, clip).status_code == 200
