"""A seed in; small media files with something wrong in them out."""

from __future__ import annotations

import random
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.media.clips import write_clip

_FIELDS = (
    b"tkhd", b"mvhd", b"mdhd", b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"stss", b"elst",
    b"stsd", b"avc1", b"mp4a", b"esds", b"avcC", b"hdlr", b"dref", b"trak", b"moov", b"mdat",
    b"fmt ", b"data", b"RIFF", b"IHDR", b"IDAT", b"GIF89a", b"\x1a\x45\xdf\xa3",
    b"\x16\x54\xae\x6b", b"\x44\x89", b"\xe0", b"\xb0", b"\xba", b"\xa3", b"\x2c\x00\x00",
)  # fmt: skip
"""What stands before lengths, sizes and counts in these formats."""
_LARGE = (
    b"\xff",
    b"\x7f\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    bytes(4),
    b"\x00\x00\xff\xff",
)


def originals(folder: Path) -> dict[str, bytes]:
    """Real files, by their suffix: small, with pictures, sound, or both."""
    made = {
        "mp4": write_clip(folder / "a.mp4", frames=12, codec="libx264", noise=1, sound=0.3, gop=4),
        "mpeg4.mp4": write_clip(folder / "b.mp4", frames=8, noise=2, sound=None),
        "webm": write_clip(folder / "a.webm", frames=8, codec="libvpx", noise=3, sound=None),
        "gif": write_clip(
            folder / "a.gif", frames=6, codec="gif", pixels="rgb8", sound=None, size=(32, 24)
        ),
    }
    noise = np.random.default_rng(4).integers(0, 255, (24, 32), np.uint8)
    image, sound = BytesIO(), BytesIO()
    Image.fromarray(noise).save(image, "PNG")
    with wave.open(sound, "wb") as writer:
        writer.setparams((1, 2, 16000, 0, "NONE", ""))
        writer.writeframes(noise.tobytes() * 10)
    made_here = {"wav": sound.getvalue(), "png": image.getvalue()}
    return {**{name: path.read_bytes() for name, path in made.items()}, **made_here}


def mutants(files: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files, with the name of what was done to which; equal seeds, equal files."""
    dice = random.Random(seed)
    ways = (_flipped, _truncated, _swapped, _raised, _raised, _repeated, _crossed)
    for number in range(count):
        name = list(files)[number % len(files)]
        way = dice.choice(ways)
        yield f"{number} {way.__name__} {name}", way(files[name], dice, list(files.values()))


def _flipped(content: bytes, dice: random.Random, _: list[bytes]) -> bytes:
    made = bytearray(content)
    head = dice.random() < 0.5  # where the formats say what follows
    for _ in range(dice.choice((1, 4, 30, 300))):
        made[dice.randrange(min(len(made), 400) if head else len(made))] = dice.randrange(256)
    return bytes(made)


def _truncated(content: bytes, dice: random.Random, _: list[bytes]) -> bytes:
    at = dice.randrange(1, len(content))
    return content[:at] if dice.random() < 0.7 else content[at:]


def _swapped(content: bytes, dice: random.Random, _: list[bytes]) -> bytes:
    a, b, c = sorted(dice.randrange(len(content)) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _raised(content: bytes, dice: random.Random, _: list[bytes]) -> bytes:
    made = bytearray(content)
    found = [at for field in _FIELDS for at in _places(content, field)]
    for _ in range(dice.choice((1, 2, 8))):
        at = dice.choice(found) + dice.randrange(24) if found else dice.randrange(len(made))
        value = dice.choice(_LARGE)
        made[at : at + len(value)] = value
    return bytes(made)


def _repeated(content: bytes, dice: random.Random, _: list[bytes]) -> bytes:
    a, b = sorted(dice.randrange(len(content)) for _ in range(2))
    return content[:b] + content[a:b] * dice.choice((1, 50)) + content[b:]


def _crossed(content: bytes, dice: random.Random, others: list[bytes]) -> bytes:
    other = dice.choice(others)
    return content[: dice.randrange(len(content))] + other[dice.randrange(len(other)) :]


def _places(content: bytes, field: bytes) -> Iterator[int]:
    at = content.find(field)
    for _ in range(20):
        if at < 0:
            return
        yield at + len(field)
        at = content.find(field, at + 1)
