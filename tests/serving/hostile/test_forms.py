"""Forms that are bombs, and file names that are paths."""

from __future__ import annotations

import select
import socket
from pathlib import Path

import httpx
import pytest

from tests.serving.hostile.bytes import connected, head, part, read_all
from tests.serving.hostile.watch import Held, assert_unharmed, refusal, uploads
from tests.serving.served import Served

FORM = {"Content-Type": "multipart/form-data; boundary=x"}
END = b"--x--\r\n"
NESTED = b"".join(b"--x%d\r\nContent-Type: multipart/mixed; boundary=x%d\r\n\r\n" % (n, n + 1)
                  for n in range(2000))  # fmt: skip
BOMBS = {
    "parts": b"".join(part(b"", b"n%d" % n, None) for n in range(40_000)) + END,
    "parts of one name": part(b"", b"caption", None) * 40_000 + END,
    "parts without a name": b"--x\r\n\r\n\r\n" * 100_000 + END,
    "clips": part(b"") * 40_000 + END,
    "a header": b"--x\r\nContent-Disposition: " + b"a" * 3_000_000 + b"\r\n\r\n\r\n" + END,
    "a header's name": b"--x\r\n" + b"a" * 3_000_000 + b": b\r\n\r\n\r\n" + END,
    "headers": b"--x\r\n" + b"a: b\r\n" * 200_000 + b"\r\n\r\n" + END,
    "empty lines": b"\r\n" * 1_500_000 + part(b"", b"nothing") + END,
    "nearly boundaries": part(b"\r\n--" * 500_000) + END,
    "nested": part(NESTED) + END,
    "nested field": part(NESTED, b"caption", None) + END,
    "no end": part(b"abc"),
    "no second boundary": part(b"abc")[:-2],
    "half a boundary": part(b"abc") + b"--",
    "no boundary": b"x" * 100_000,
    "nothing": b"",
    "a file as a field": part(b"a" * 1_000_000, b"caption", None) + END,
    "a field that is not text": part(b"\xff\xfe", b"caption", None) + END,
    "a field with NUL": part(b"a\0b", b"caption", None) + END,
    "an odd charset": b"--x\r\nContent-Disposition: form-data; name*=odd'x'%ff%fe\r\n\r\na\r\n"
    + END,
    "no disposition": b"--x\r\nContent-Type: video/mp4\r\n\r\na\r\n" + END,
    "odd quotes": b'--x\r\nContent-Disposition: form-data; name="cl\\"ip;"";=\r\n\r\na\r\n' + END,
    "values": part(b"[1]", b"values", None) + END,
}
NAMES = {
    "up": b"../../../../x.mp4",
    "windows": b"..\\..\\x.mp4",
    "absolute": b"/tmp/reeltag-was-here.mp4",
    "nul": b"a\0/../x.mp4",
    "long": b"a" * 3_000,
    "too long": b"a" * 10_000,
    "lines": b"a%0d%0aX-Evil: 1\x0b.mp4",
    "not text": b"\xff\xfe\xed\xa0\x80.mp4",
    "device": b"/dev/stdin",
    "empty": b"",
    "command": b"$(touch x);`touch x`|touch x",
    "protocol": b"concat:/etc/passwd|http://127.0.0.1/",
}


@pytest.mark.parametrize("name", BOMBS)
def test_forms_that_are_bombs_are_refused(
    service: Served, clip: bytes, before: Held, name: str
) -> None:
    content = BOMBS[name]
    try:
        answer = service.client.post("/v1/recommend", content=content, headers=FORM)
    except httpx.WriteError:  # it was refused long before its end
        pass
    else:
        refusal(answer)
    assert_unharmed(service, clip, before)


@pytest.mark.parametrize(
    "kind", ["", "; boundary=", "; boundary=" + "x" * 5000, '; boundary="\\"', "/mixed; boundary=x"]
)
def test_odd_boundaries_are_refused(service: Served, kind: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{kind}"}
    body = part(b"a") + END
    assert refusal(service.client.post("/v1/recommend", content=body, headers=headers))


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_lead_nowhere(service: Served, clip: bytes, before: Held, name: str) -> None:
    around = sorted(path for path in uploads(service).parent.rglob("*") if path.is_file())
    answer = service.client.post(
        "/v1/recommend", content=part(clip, file=NAMES[name]) + END, headers=FORM
    )
    if answer.status_code != 200:
        assert name == "too long"
        refusal(answer)
    assert sorted(p for p in uploads(service).parent.rglob("*") if p.is_file()) == around
    assert not Path("/tmp/reeltag-was-here.mp4").exists()
    assert_unharmed(service, clip, before)


@pytest.mark.parametrize(
    ("lie", "status"),
    [
        ({"Content_Length": -1}, 400),
        ({"Content_Length": "1e3"}, 400),
        ({"Content_Length": 10**30}, 400),
        ({"Content_Length": 10**12}, 413),
        ({"Transfer_Encoding": "gzip, chunked"}, 501),
        ({"Content_Length": 3}, 422),
    ],
)
def test_lies_about_the_length_are_refused(
    service: Served, clip: bytes, before: Held, lie: dict[str, object], status: int
) -> None:
    with connected(service) as liar:
        liar.sendall(head(service.address, **lie) + part(clip) + END)
        answer = read_all(liar)
    assert int(answer.split()[1]) in (status, 400)
    assert b'{"error":' in answer
    assert_unharmed(service, clip, before)


def pour(connection: socket.socket, block: bytes) -> None:
    """Send without an end."""
    while True:
        connection.sendall(block)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_bodies_without_an_end_are_refused(
    service: Served, clip: bytes, before: Held, kind: str
) -> None:
    block = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
    begun = part(b"")[:-2] if "form" in kind else b" "
    with connected(service) as endless:
        endless.sendall(head(service.address, kind, Transfer_Encoding="chunked"))
        endless.sendall(b"%x\r\n%s\r\n" % (len(begun), begun))
        while not select.select([endless], [], [], 0)[0]:
            endless.sendall(block)
        answer = read_all(endless)
        assert b" 413 " in answer.split(b"\r\n")[0]
        with pytest.raises(ConnectionError):  # nor is it read for ever once it was refused
            pour(endless, block)
    assert_unharmed(service, clip, before)


def test_who_goes_away_leaves_nothing(service: Served, clip: bytes, before: Held) -> None:
    for content in (part(clip), part(bytes(200_000)), part(clip) + END, b""):
        with connected(service) as leaver:
            leaver.sendall(head(service.address, Content_Length=4_000_000) + content)
        with connected(service) as leaver:
            leaver.sendall(head(service.address, Content_Length=len(content)) + content)
    assert_unharmed(service, clip, before)
    failures = service.client.get("/v1/stats").json()["failures"]
    assert not [failure for failure in failures if failure["stage"] == "service"]
