"""Makes small real clips for tests: what should be in them goes in, a file comes out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def picture(number: int, width: int, height: int, *, still: bool = False) -> np.ndarray:
    """Frame `number` as RGB: grey level 5 * number (mod 250) everywhere, a white square at top."""
    image = np.full((height, width, 3), 0 if still else (5 * number) % 250, np.uint8)
    image[: height // 2, : width // 2] = 255 if still else image[0, 0]
    return image


def write_clip(
    path: Path,
    *,
    frames: int = 50,
    size: tuple[int, int] = (64, 48),
    fps: int = 25,
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    gop: int = 12,
    sound: float | None = 2.0,
    tone: float = 440.0,
    still: bool = False,
    times: Sequence[int] | None = None,
    audio_codec: str = "aac",
    noise: int | None = None,
) -> Path:
    """Write a clip. `frames=0`: no video; `sound` in seconds, None: no audio; 0 Hz: silence.

    `times`: pts of the frames in milliseconds (variable frame rate); `noise`: seed of
    random pictures in place of plain ones.
    """
    rng = np.random.default_rng(noise)
    with av.open(str(path), "w") as container:
        video = audio = None
        if frames:
            video = container.add_stream(codec, rate=fps)
            video.width, video.height, video.pix_fmt = *size, pixels
            video.codec_context.gop_size = gop
            video.codec_context.thread_count = 1
            if times is not None:
                video.codec_context.time_base = Fraction(1, 1000)
        if sound is not None:
            audio = container.add_stream(audio_codec, rate=44100, layout="mono")
        for number in range(frames):
            image = picture(number, *size, still=still)
            if noise is not None:
                image = rng.integers(0, 255, image.shape, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, fps) if times is None else Fraction(1, 1000)
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode(None))
        if audio is not None:
            wave = np.sin(2 * np.pi * tone * np.arange(int(44100 * sound)) / 44100) / 2
            for at in range(0, len(wave), 1024):
                part = wave[None, at : at + 1024].astype(np.float32)
                heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = 44100, at, Fraction(1, 44100)
                container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
    return path


def rotate(path: Path) -> Path:
    """Patch an mp4's first track to be shown a quarter turn clockwise, as phones do."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd")
    start = at + 4 + (40 if content[at + 4] == 0 else 52)
    matrix = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    content[start : start + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(content)
    return path


def grey_numbers(frames: np.ndarray) -> list[float]:
    """Which pictures (numbers given to `picture`) the frames (n, H, W, 3) show."""
    return [float(frame.mean()) / 5 for frame in frames]
