"""Clips that would have the decoder go elsewhere, or do too much."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import av
import numpy as np
import pytest

from tests.media.clips import write_clip
from tests.serving.hostile.bytes import alias, box, grown
from tests.serving.hostile.watch import Held, assert_unharmed, refusal, sent
from tests.serving.served import Served, served

MOVIE = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


class Trap:
    """An address that nobody should call, and a pipe that whoever opens waits for."""

    def __init__(self, folder: Path) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}/a.mp4"
        self.pipe = folder / "secret.mp4"
        os.mkfifo(self.pipe)

    def assert_untouched(self) -> None:
        """Nobody called; nobody has the pipe open."""
        with pytest.raises(BlockingIOError):
            self.server.accept()
        with pytest.raises(OSError, match="No such device"):
            os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    """A trap."""
    made = Trap(tmp_path)
    yield made
    made.server.close()


def lists(target: str) -> dict[str, bytes]:
    """Files of other formats that lead to `target`."""
    named = {
        "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "key.m3u8": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:9,\n{}\n',
        "concat": "ffconcat version 1.0\nfile '{}'\n",
        "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
        'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" type="static"><Period>'
        "<AdaptationSet><Representation><BaseURL>{}</BaseURL></Representation></AdaptationSet>"
        "</Period></MPD>",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{}" width="9"/></svg>',
        "ass": "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {}\n[Events]\n",
        "srt": '1\n00:00:00,000 --> 00:00:09,000\n<img src="{}"/>\n',
        "smil": '<smil><body><video src="{}"/></body></smil>',
        "ram": "{}\n",
        "asx": '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
        "rtsptext": "[Reference]\nRef1={}\n",
        "php": "<?php readfile('{}'); ?>",
        "imf": '<AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"><Path>{}</Path>'
        "</AssetMap>",
    }  # fmt: skip
    return {name: text.replace("{}", target).encode() for name, text in named.items()}


def test_lists_lead_nowhere(service: Served, clip: bytes, before: Held, trap: Trap) -> None:
    for target in (trap.url, f"file://{trap.pipe}", str(trap.pipe)):
        for name, text in lists(target).items():
            for content in (text, text.ljust(50_000)):
                told = refusal(sent(service, content, name))
                assert told["kind"] == "clip", name
                assert "seconds" not in told["message"], name
    trap.assert_untouched()
    assert_unharmed(service, clip, before)


def test_movies_of_other_files_lead_nowhere(
    service: Served, clip: bytes, before: Held, trap: Trap
) -> None:
    whole = write_clip(trap.pipe.parent / "whole.mp4", frames=8, noise=1, sound=None).read_bytes()
    head = struct.pack(">II", 0, 1)
    for reference in (
        alias(str(trap.pipe)),
        alias("secret.mp4"),
        box(b"url ", bytes(4) + trap.url.encode() + b"\0"),
        box(b"url ", bytes(4) + f"file://{trap.pipe}".encode() + b"\0"),
        box(b"urn ", bytes(4) + b"x\0" + trap.url.encode() + b"\0"),
        box(b"rsrc", bytes(4) + str(trap.pipe).encode() + b"\0"),
    ):
        movie = grown(whole, MOVIE, box(b"dref", head + reference))
        answer = sent(service, movie)
        if answer.status_code != 200:
            assert "seconds" not in refusal(answer)["message"]
    rdrf = box(b"rdrf", bytes(4) + b"url " + struct.pack(">I", len(trap.url)) + trap.url.encode())
    pointer = box(b"moov", box(b"rmra", box(b"rmda", rdrf)))
    for movie in (pointer, box(b"ftyp", b"qt  " + bytes(4)) + pointer):
        assert "seconds" not in refusal(sent(service, movie, "a.mov"))["message"]
    trap.assert_untouched()
    assert_unharmed(service, clip, before)


def test_files_that_are_two_things_are_only_clips(
    service: Served, clip: bytes, before: Held
) -> None:
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        archive.writestr("../../up.txt", bytes(3_000_000))
    script = b"<html><script>alert(1)</script></html>"
    for behind in (packed.getvalue(), script, b"%PDF-1.7", b"#!/bin/sh\ntouch x\n"):
        assert sent(service, clip + behind).status_code == 200
        told = refusal(sent(service, behind))
        assert told["kind"] == "clip"
        assert "<" not in told["message"]
    for name, content in {
        "a.html": script,
        "a.js": b"alert(1)",
        "a.zip": packed.getvalue(),
    }.items():
        answer = sent(service, content, name)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        refusal(answer)
    assert_unharmed(service, clip, before)


def gif(width: int, height: int, frames: int) -> bytes:
    """A picture of this size, and frames of one pixel in it."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    frame = b"\x21\xf9\x04\x00\x04\x00\x00\x00\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
    return head + (frame + b"\x02\x02\x44\x01\x00") * frames + b";"


def patched(content: bytes, kind: bytes, at: int, value: bytes) -> bytes:
    """An mp4 with some bytes after the name of a box changed."""
    start = content.index(kind) + 4 + at
    return content[:start] + value + content[start + len(value) :]


def bombs(folder: Path) -> dict[str, bytes]:
    """Small files that would be large."""
    whole = write_clip(folder / "a.mp4", frames=8, noise=1, sound=None).read_bytes()
    heard = write_clip(folder / "a.m4a", frames=0, sound=0.1).read_bytes()
    many = 1_000_000_000
    wide = struct.pack(">HH", 65_535, 65_535)
    sizes = box(b"stsz", struct.pack(">III", 0, 1, many))
    times = box(b"stts", struct.pack(">IIII", 0, 1, many, 1))
    chunks = box(b"stsc", struct.pack(">IIIII", 0, 1, 1, many, 1))
    counted = grown(whole, (*TABLE, b"stsz"), sizes)
    counted = grown(grown(counted, (*TABLE, b"stts"), times), (*TABLE, b"stsc"), chunks)
    with av.open(str(folder / "streams.mkv"), "w") as container:
        for _ in range(300):
            stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    ihdr = struct.pack(">IIBBBBB", 65_535, 65_535, 8, 6, 0, 0, 0)
    wav = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 1, 2, 2, 16)
    return {
        "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + ihdr + bytes(4),
        "gif": gif(16_000, 16_000, 1),
        "size": patched(whole, b"mp4v", 24, wide),
        "samples": counted,
        "chunks": grown(whole, (*TABLE, b"stco"), box(b"stco", struct.pack(">II", 0, many))),
        "no size": grown(whole, (*TABLE, b"stsz"), box(b"stsz", struct.pack(">III", 0, 0, many))),
        "one sample": grown(
            whole, (*TABLE, b"stsz"), box(b"stsz", struct.pack(">III", 0, 2**31 - 1, 1))
        ),
        "duration": patched(patched(whole, b"mvhd", 16, b"\x7f" * 4), b"mdhd", 16, b"\x7f" * 4),
        "slow": patched(heard, b"mdhd", 12, struct.pack(">I", 1)),
        "streams": (folder / "streams.mkv").read_bytes(),
        "slow sound": wav + b"data\xff\xff\xff\xff" + bytes(range(256)) * 4000,
        "nested": box(b"moov", b"".join(struct.pack(">I4s", 9_000 - 8 * n, b"trak")
                                         for n in range(1_000)).ljust(9_000, b"\0")),
    }  # fmt: skip


def test_small_files_that_would_be_large_are_refused(
    service: Served, clip: bytes, before: Held, tmp_path: Path
) -> None:
    said = {}
    for name, content in bombs(tmp_path).items():
        answer = sent(service, content)
        said[name] = "read" if answer.status_code == 200 else refusal(answer)["message"]
    assert "at most" in said["gif"]
    assert "at most" in said["streams"]
    for name in ("png", "nested"):
        assert said[name] != "read"
    assert_unharmed(service, clip, before)


def test_a_clip_that_takes_too_long_is_given_up(run: Path, clip: bytes, tmp_path: Path) -> None:
    with served(run, tmp_path, clip_seconds=1.5, decoders=1) as other:
        assert sent(other, clip).status_code == 200
        told = refusal(sent(other, gif(8_000, 4_600, 3_000)))
        assert told["kind"] == "clip"
        assert "1.5 seconds" in told["message"]
        assert sent(other, clip).status_code == 200
