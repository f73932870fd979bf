"""The decoder against every clip that is odd, damaged or hostile."""

from __future__ import annotations

from pathlib import Path

import iscc_samples
import numpy as np
import pytest
from tests.media.clips import grey_numbers, rotate, write_clip

from reeltag.errors import ClipError
from reeltag.media.decode import decode
from reeltag.media.limits import Limits
from reeltag.media.request import Frames, Request, Sound

BOTH = Request(Frames(4, 32), Sound(16000))


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mpeg2video"])
@pytest.mark.parametrize("gop", [1, 5, 50])
def test_frames_are_the_ones_at_their_times(decoder, tmp_path, codec, gop):
    clip = write_clip(tmp_path / "clip.mp4", codec=codec, gop=gop)
    decoded = decoder.decode(clip, BOTH)
    assert decoded.frames.shape == (4, 32, 32, 3)
    assert decoded.warnings == ()
    ideal = [0.25, 0.75, 1.25, 1.75]
    assert np.allclose(decoded.frame_times, ideal, atol=0.125 + 0.05)
    shown = [round(t * 25) for t in decoded.frame_times]
    assert grey_numbers(decoded.frames) == pytest.approx(shown, abs=0.6)
    assert decoded.duration == pytest.approx(2.0, abs=0.1)


def test_sound_is_the_tone(decoder, tmp_path):
    decoded = decoder.decode(write_clip(tmp_path / "clip.mp4", tone=500.0), BOTH)
    assert decoded.sound.dtype == np.float32
    assert decoded.rate == 16000
    assert len(decoded.sound) == pytest.approx(32000, abs=1100)
    spectrum = np.abs(np.fft.rfft(decoded.sound[8000:24000]))
    assert spectrum.argmax() == pytest.approx(500, abs=2)


def test_frames_by_rate_and_cap(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    assert len(decoder.decode(clip, Request(Frames(100, 16, fps=5.0))).frames) == 10
    assert len(decoder.decode(clip, Request(Frames(6, 16, fps=5.0))).frames) == 6


def test_several_requests_decode_once_and_agree(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    requests = [BOTH, Request(Frames(9, 20)), Request(None, Sound(22050, seconds=0.5)), Request()]
    together = decoder.decode_many(clip, requests)
    for request, answer in zip(requests, together, strict=True):
        alone = decoder.decode(clip, request)
        np.testing.assert_equal(answer.frames, alone.frames)
        np.testing.assert_equal(answer.sound, alone.sound)
    assert len(together[2].sound) == 11025
    assert together[3].frames is None


def test_two_decoders_give_equal_bytes(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", codec="libx264", noise=1)
    first, second = decoder.decode(clip, BOTH), decode(clip, BOTH)
    assert first.frames.tobytes() == second.frames.tobytes()
    assert first.sound.tobytes() == second.sound.tobytes()


@pytest.mark.parametrize("name", ["demo.mp4", "demo.webm", "demo.mkv", "demo.3gp"])
def test_real_clips(decoder, name):
    clip = Path(iscc_samples.__file__).parent / "files" / "video" / name
    decoded = decoder.decode(clip, Request(Frames(8, 64), Sound(16000, seconds=10)))
    assert decoded.frames.shape == (8, 64, 64, 3)
    assert decoded.frames.std() > 20
    assert len(decoded.sound) == 160000
    assert decoded.warnings == ()


def test_audio_only(decoder, tmp_path):
    decoded = decoder.decode(write_clip(tmp_path / "clip.m4a", frames=0), BOTH)
    assert decoded.frames is None
    assert decoded.sound is not None
    assert decoded.warnings == ("no video stream",)


def test_video_only(decoder, tmp_path):
    decoded = decoder.decode(write_clip(tmp_path / "clip.mp4", sound=None), BOTH)
    assert len(decoded.frames) == 4
    assert decoded.sound is None
    assert decoded.rate is None
    assert decoded.warnings == ("no audio stream",)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_one_frame(decoder, tmp_path, codec):
    decoded = decoder.decode(write_clip(tmp_path / "clip.mp4", frames=1, codec=codec), BOTH)
    assert len(decoded.frames) == 1


def test_rotation_is_applied(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", still=True, size=(64, 64))
    upright = decoder.decode(clip, BOTH).frames[0]
    turned = decoder.decode(rotate(clip), BOTH).frames[0]
    assert upright[:14, :14].mean() > 200  # white at the top left, then at the top right
    assert turned[:14, -14:].mean() > 200
    assert turned[:14, :14].mean() < 60


def test_crop_keeps_the_centre_and_squash_the_whole(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", still=True, size=(128, 64))
    crop = decoder.decode(clip, Request(Frames(1, 32, fit="crop"))).frames[0]
    squash = decoder.decode(clip, Request(Frames(1, 32, fit="squash"))).frames[0]
    assert crop[:16].mean() == pytest.approx(squash[:16].mean(), abs=20)
    assert crop.shape == squash.shape == (32, 32, 3)


def test_8k_decodes(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", size=(7680, 4320), frames=2, sound=None, codec="mpeg4")
    assert decoder.decode(clip, BOTH).frames.shape == (2, 32, 32, 3)


def test_larger_frames_than_the_limit_are_refused(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", size=(640, 480))
    with pytest.raises(ClipError, match="640 x 480, at most 1000 pixels"):
        decode(clip, BOTH, Limits(max_pixels=1000))


def test_variable_frame_rate(decoder, tmp_path):
    times = [0, 40, 80, 120, 1000, 1040, 1900, 1940, 1980, 2020]
    clip = write_clip(tmp_path / "clip.mp4", frames=10, times=times, sound=None)
    decoded = decoder.decode(clip, BOTH)
    shown = [times.index(round(t * 1000)) for t in decoded.frame_times]
    assert grey_numbers(decoded.frames) == pytest.approx(shown, abs=0.6)
    assert shown == [3, 5, 8]  # the fourth picture is on show at two of the four times


def test_alpha(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", pixels="yuva420p", sound=None)
    assert len(decoder.decode(clip, BOTH).frames) == 4


@pytest.mark.parametrize("suffix", ["m1v", "gif", "avi"])
def test_unknown_duration_or_times(decoder, tmp_path, suffix):
    codec, pixels = {
        "m1v": ("mpeg1video", "yuv420p"),
        "gif": ("gif", "rgb8"),
        "avi": ("mpeg4", "yuv420p"),
    }[suffix]
    clip = write_clip(tmp_path / f"clip.{suffix}", codec=codec, pixels=pixels, sound=None)
    decoded = decoder.decode(clip, BOTH)
    numbers = grey_numbers(decoded.frames)
    assert len(numbers) == 4
    assert numbers == sorted(numbers)


def test_long_clip_is_cut_with_a_warning(tmp_path):
    decoded = decode(write_clip(tmp_path / "clip.mp4"), BOTH, Limits(max_duration=1.0))
    assert max(decoded.frame_times) <= 1.0
    assert len(decoded.sound) == 16000
    assert "longer than 1 seconds" in decoded.warnings[0]


def test_lying_timestamps(decoder, tmp_path):
    times = [0, 40, 80, 120, 2_000_000_000]
    clip = write_clip(tmp_path / "clip.mkv", frames=5, times=times, sound=None)
    assert decoder.decode(clip, BOTH).frames is not None


def test_damaged_packets_are_skipped_and_counted(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", codec="libx264", noise=2, size=(128, 96), gop=5)
    content = bytearray(clip.read_bytes())
    rng = np.random.default_rng(0)
    start, end = content.index(b"mdat") + 2000, len(content) * 3 // 4
    for at in rng.integers(start, end, 4000):
        content[at] = rng.integers(0, 255)
    clip.write_bytes(content)
    decoded = decoder.decode(clip, BOTH)
    assert decoded.frames is not None
    assert decoded.warnings


def test_truncated_with_index_at_the_end_is_refused(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    clip.write_bytes(clip.read_bytes()[:-3000])
    with pytest.raises(ClipError, match="beginning or index is damaged"):
        decoder.decode(clip, BOTH)


def test_truncated_stream_gives_what_there_is(decoder, tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", noise=3, codec="libx264")
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 2])
    decoded = decoder.decode(clip, BOTH)
    assert decoded.frames is not None
    assert max(decoded.frame_times) < 1.5
