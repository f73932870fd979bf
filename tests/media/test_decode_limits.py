"""The decoder against files that are no clips, cost too much, or take over its child."""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.media.clips import write_clip

from reeltag.errors import ClipError, ConfigError
from reeltag.media.decode import Decoder, decode
from reeltag.media.limits import Limits
from reeltag.media.request import Frames, Request, Sound

BOTH = Request(Frames(4, 32), Sound(16000))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"this is no video\n" * 500, "not a video|not one that is read"),
        ("noise.mp4", bytes(np.random.default_rng(0).integers(0, 256, 9000, np.uint8)), "not|"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n", "not"),
        ("concat.mp4", b"ffconcat version 1.0\nfile clip.mp4\n", "not one that"),
        ("list.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n", "not"),
        (
            "dash.mpd",
            b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
            b'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period/></MPD>',
            "not",
        ),
    ],
)
def test_files_that_are_no_clips(decoder, tmp_path, name, content, reason):
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ClipError, match=reason):
        decoder.decode(tmp_path / name, BOTH)


def test_only_regular_files_are_opened(decoder, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path, tmp_path / "pipe.mp4", Path("/dev/zero")):
        with pytest.raises(ClipError, match="not a regular file"):
            decoder.decode(path, BOTH)
    for path in ("http://127.0.0.1:1/x.mp4", "concat:a.mp4|b.mp4", tmp_path / "absent.mp4"):
        with pytest.raises(ClipError, match="cannot be opened"):
            decoder.decode(path, BOTH)


def test_symbolic_links_are_followed(decoder, tmp_path):
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    assert decoder.decode(tmp_path / "link.mp4", BOTH).frames is not None


def test_too_many_streams_and_too_large_a_file_are_refused(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(ClipError, match="2 streams, at most 1"):
        decode(clip, BOTH, Limits(max_streams=1))
    with clip.open("r+b") as file:
        file.truncate(3 << 20)
    with pytest.raises(ClipError, match="3 MiB, at most 2"):
        decode(clip, BOTH, Limits(max_file_mb=2))


def test_max_frames_bounds_the_work(tmp_path):
    decoded = decode(write_clip(tmp_path / "clip.mp4"), BOTH, Limits(max_frames=20))
    assert max(decoded.frame_times) < 0.85
    assert "more than 20 frames" in decoded.warnings[0]


def test_a_clip_that_eats_memory_is_refused_and_the_next_decodes(tmp_path):
    large = write_clip(tmp_path / "large.mp4", size=(7680, 4320), frames=2, sound=None)
    small = write_clip(tmp_path / "small.mp4")
    with Decoder(Limits(memory_mb=64)) as decoder:
        with pytest.raises(ClipError, match=r"memory|signal"):
            decoder.decode(large, Request(Frames(2, 32)))
        assert decoder.decode(small, BOTH).frames is not None


def test_a_child_that_hangs_is_killed_and_the_next_clip_decodes(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    with Decoder(Limits(wall_seconds=3)) as decoder:
        decoder.decode(clip, BOTH)
        first = decoder.pid
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(ClipError, match=r"more than 3 seconds"):
            decoder.decode(clip, BOTH)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert decoder.decode(clip, BOTH).frames is not None


def test_a_child_that_is_killed_is_replaced(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    with Decoder() as decoder:
        decoder.decode(clip, BOTH)
        os.kill(decoder.pid, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (decoder.pid, signal.SIGKILL)).start()
        with pytest.raises(ClipError, match="ended by signal 9"):
            decoder.decode(clip, BOTH)
        assert decoder.decode(clip, BOTH).frames is not None


def test_the_child_holds_its_limits(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    with Decoder(Limits(memory_mb=700, wall_seconds=9)) as decoder:
        decoder.decode(clip, BOTH)
        lines = Path(f"/proc/{decoder.pid}/limits").read_text().splitlines()
        children = Path(f"/proc/{decoder.pid}/task/{decoder.pid}/children").read_text()
    soft = {line[:25].strip(): line[26:].split()[0] for line in lines}
    assert soft["Max core file size"] == "0"
    assert soft["Max file size"] == "0"
    assert soft["Max processes"] == "0"
    assert soft["Max open files"] == "64"
    assert 9 <= int(soft["Max cpu time"]) <= 15
    assert 700 << 20 < int(soft["Max address space"]) < 4 << 30
    assert children == ""


def test_any_damage_gives_an_answer_or_a_reason(decoder, tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", codec="libx264", noise=5, frames=20, gop=5)
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    first = None
    for number in range(40):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 200)):
            damaged[at] = rng.integers(0, 256)
        cut = rng.integers(1, len(content)) if number % 3 == 0 else len(content)
        (tmp_path / "clip.mp4").write_bytes(damaged[:cut])
        try:
            decoded = decoder.decode(tmp_path / "clip.mp4", BOTH)
        except ClipError:
            pass
        else:
            assert decoded.frames is None or decoded.frames.shape[1:] == (32, 32, 3)
            assert decoded.sound is None or np.abs(decoded.sound).max(initial=0) <= 1
        first = first or decoder.pid
    assert decoder.decode(whole, BOTH).frames is not None


def test_sound_that_is_not_finite_is_made_so(decoder, tmp_path):
    samples = np.full(16000, 0.25, "<f4")
    samples[100:200], samples[300:400], samples[500:600] = np.nan, np.inf, 1e30
    head = struct.pack("<4sI4s", b"RIFF", 36 + samples.nbytes, b"WAVE")
    head += struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32)
    head += struct.pack("<4sI", b"data", samples.nbytes)
    (tmp_path / "clip.wav").write_bytes(head + samples.tobytes())
    sound = decoder.decode(tmp_path / "clip.wav", BOTH).sound
    assert len(sound) == 16000
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
    assert sound[8000] == pytest.approx(0.25)


def test_threads_may_share_a_decoder(decoder, tmp_path):
    clips = [write_clip(tmp_path / f"{n}.mp4", frames=n + 1, sound=None) for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda clip: decoder.decode(clip, BOTH), clips * 3))
    assert [len(answer.frames) for answer in answers] == [1, 2, 3, 4] * 3


class _Liar(Decoder):
    answer = b""

    def _command(self):
        ready = b'\x1f\x00\x00\x00{"ready": true,     "bytes": 0}'
        code = f"import os;os.write(1, {ready + self.answer!r});os.read(0, 10**6);os.read(0, 1)"
        return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\xff",
        b"\x02\x00\x00\x00[]",
        b'\x18\x00\x00\x00{"bytes": 9999999999999}',
        b'\x0c\x00\x00\x00{"bytes": 0}',
    ],
)
def test_a_child_that_was_taken_over_cannot_hurt_the_parent(tmp_path, answer):
    clip = write_clip(tmp_path / "clip.mp4")
    with _Liar() as decoder:
        decoder.answer = answer
        with pytest.raises(ClipError, match="garbled"):
            decoder.decode(clip, BOTH)


def test_the_child_is_recycled_and_inherits_no_descriptor(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    with Decoder(recycle=2) as decoder, clip.open("rb") as held:
        os.set_inheritable(held.fileno(), True)
        pids = []
        for _ in range(3):
            decoder.decode(clip, BOTH)
            pids.append(decoder.pid)
        assert pids[0] == pids[1] != pids[2]
        links = [os.readlink(p) for p in Path(f"/proc/{decoder.pid}/fd").iterdir()]
        assert str(clip) not in links
    assert decoder.pid is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Frames(0, 32),
        lambda: Frames(8, 0),
        lambda: Frames(8, 32, fps=0.0),
        lambda: Frames(8, 32, fit="stretch"),
        lambda: Sound(0),
        lambda: Sound(16000, seconds=-1),
    ],
)
def test_impossible_requests_say_so(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
