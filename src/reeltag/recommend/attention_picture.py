"""One clip's answers in; its frames with what each user's model looked at, as a PNG, out.

A card shows the clip as it is, then one card a user: each frame under a heat map of its
regions, below it the frame's share as a bar, below that the recommended hashtags. All cards
have one scale, so that users can be compared. Without attention, users' cards hold words alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.errors import ConfigError
from reeltag.recommend.answers import Answer
from reeltag.recommend.lettering import pillow, width, wrap, write
from reeltag.recommend.look import Look
from reeltag.storage import atomic_file

WIDTH, MOST_FRAMES = 1400, 8
_EDGE, _PAD, _GAP, _TILE, _HEAD = 36, 22, 8, 153, 132
_ROOM = WIDTH - 2 * _EDGE - 2 * _PAD
_PAPER, _CARD, _LINE, _BAR = "#f3f1ec", "#ffffff", "#e2ded5", "#c8473c"
_INK, _SOFT = "#1f2328", "#6b7078"
_RAMP = np.array([[24, 30, 70], [196, 60, 100], [255, 214, 74]], np.float64)
"""From what was hardly looked at to what was looked at most."""


def check_picture(path: Path, clip: Path | None) -> None:
    """Refuse before any work what cannot be drawn.

    Raises `ConfigError` for another format or no clip, `MissingExtraError` without Pillow.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"Got --picture {path}, expected a name that ends in .png.")
    if clip is None:
        raise ConfigError(f"Got --picture {path} without a clip to draw. Give one: --clip FILE")
    pillow()


def draw_answers(path: Path, answers: Sequence[Answer], title: str) -> None:
    """Write the picture of `answers`, all for one clip, to `path`, atomically.

    Raises `MissingExtraError` without Pillow.
    """
    images = pillow()
    frames = answers[0].frames
    times = answers[0].look.times if answers[0].look is not None else ()
    shown = _shown(0 if frames is None else len(frames))
    tiles = [] if frames is None else [_tile(images, frames[number]) for number in shown]
    high = max((tile.height for tile in tiles), default=40)
    lines = [_hashtag_lines(answer) for answer in answers]
    # A card without a look repeats no frames: those on top are all there is to see.
    rows = [0 if answer.look is None else high + 46 for answer in answers]
    first = high + (30 if times else 0) + 2 * _PAD
    talls = [34 + row + 27 * len(found) + 2 * _PAD for row, found in zip(rows, lines, strict=True)]
    height = _HEAD + first + sum(talls) + _PAD * len(talls) + _EDGE
    image = images.Image.new("RGB", (WIDTH, height), _PAPER)
    pen = images.ImageDraw.Draw(image)
    hottest, longest = _scale([answer.look for answer in answers])
    _header(images, image, pen, title, answers, hottest)
    _box(pen, _HEAD, first)
    _row(image, pen, tiles, _HEAD + _PAD)
    for place, number in enumerate(shown if times else ()):
        write(pen, _left(place), _HEAD + _PAD + high + 22, f"{times[number]:.1f} s", 15, _SOFT)
    if frames is not None and len(shown) < len(frames):
        text = f"{len(shown)} of {len(frames)} frames"
        write(pen, WIDTH - _EDGE - width(text, 15), _HEAD - 10, text, 15, _SOFT)
    top = _HEAD + first + _PAD
    for answer, row, found, tall in zip(answers, rows, lines, talls, strict=True):
        _box(pen, top, tall)
        _name(pen, answer, top + _PAD + 18)
        y = top + _PAD + 34
        if answer.look is not None:
            look = answer.look
            heated = [
                _heat(images, tile, look.regions[n].reshape(look.grid), hottest)
                for tile, n in zip(tiles, shown, strict=True)
            ]
            _row(image, pen, heated, y)
            for place, number in enumerate(shown):
                _bar(pen, _left(place), y + high + 8, float(look.frames[number]), longest)
        for number, line in enumerate(found):
            write(pen, _EDGE + _PAD, y + row + 18 + 27 * number, line, 18, _INK)
        top += tall + _PAD
    with atomic_file(path) as stream:
        image.save(stream, format="PNG")


def _shown(count: int) -> list[int]:
    """Positions of at most `MOST_FRAMES` frames, evenly apart."""
    fit = min(count, MOST_FRAMES)
    return [int(at) for at in np.linspace(0, max(count - 1, 0), fit).round()]


def _tile(images: Any, frame: NDArray[np.uint8]) -> Any:
    high, wide = frame.shape[:2]
    scale = _TILE / max(high, wide)
    size = (max(round(wide * scale), 1), max(round(high * scale), 1))
    picture = images.Image.fromarray(np.ascontiguousarray(frame))
    return picture.resize(size, images.Image.Resampling.LANCZOS)


def _scale(looks: Sequence[Look | None]) -> tuple[float, float]:
    """What is drawn hottest, in even shares of a region, and the share of the longest bar.

    At least twice an even share: attention that is even all over is drawn as such.
    """
    there = [look for look in looks if look is not None]
    hottest = max((look.regions.max() * look.regions.shape[1] for look in there), default=2.0)
    longest = max((max(look.frames.max(), 2 / len(look.frames)) for look in there), default=1.0)
    return max(2.0, float(hottest)), min(1.0, float(longest))


def _heat(images: Any, tile: Any, shares: NDArray[np.float64], hottest: float) -> Any:
    """A frame under the map of its regions."""
    levels = np.clip(shares * shares.size / hottest, 0, 1).astype(np.float32)
    level = images.Image.fromarray(levels).resize(tile.size, images.Image.Resampling.BILINEAR)
    heat = np.clip(np.asarray(level, np.float64), 0, 1)
    picture = np.asarray(tile, np.float64)
    pale = 0.25 * picture + 0.75 * picture.mean(-1, keepdims=True)  # colour is the heat's
    strength = (0.45 + 0.2 * heat)[..., None]
    mixed = pale * (1 - strength) + _colours(heat) * strength
    return images.Image.fromarray(mixed.round().astype(np.uint8))


def _colours(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    stops = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(heat, stops, _RAMP[:, channel]) for channel in range(3)], -1)


def _header(
    images: Any, image: Any, pen: Any, title: str, answers: Sequence[Answer], hottest: float
) -> None:
    for line in wrap(title, 30, _ROOM, 1, bold=True):
        write(pen, _EDGE, 56, line, 30, _INK, bold=True)
    if all(answer.look is None for answer in answers):
        text = "This model has no attention over these frames: nothing says where it looked."
        write(pen, _EDGE, 96, text, 17, _SOFT)
        return
    text = "Heat: share of a region in its frame. Bar: share of the frame."
    write(pen, _EDGE, 96, text, 17, _SOFT)
    right = f"{hottest:.1f} × an even share"
    x = WIDTH - _EDGE - width(right, 15)
    write(pen, x, 96, right, 15, _SOFT)
    ramp = _colours(np.tile(np.linspace(0, 1, 150), (12, 1))).round().astype(np.uint8)
    image.paste(images.Image.fromarray(ramp), (round(x) - 160, 85))
    write(pen, x - 160 - 10 - width("0", 15), 96, "0", 15, _SOFT)


def _name(pen: Any, answer: Answer, y: float) -> None:
    who = answer.user or "somebody"
    if answer.user is not None and not answer.known_user:
        who += " (not known)"
    seen = None if answer.look is None else answer.look.reason()
    for line in wrap(who, 21, _ROOM / 2, 1, bold=True):
        write(pen, _EDGE + _PAD, y, line, 21, _INK, bold=True)
    if seen is not None:
        x = WIDTH - _EDGE - _PAD - width(seen.text, 17)
        write(pen, x, y, seen.text, 17, _SOFT)


def _row(image: Any, pen: Any, tiles: Sequence[Any], top: int) -> None:
    for place, tile in enumerate(tiles):
        image.paste(tile, (_left(place), top))
    if not tiles:
        write(pen, _EDGE + _PAD, top + 26, "no picture", 18, _SOFT)


def _bar(pen: Any, x: int, y: int, share: float, longest: float) -> None:
    wide = max(1, round(_TILE * share / longest))
    pen.rectangle((x, y, x + _TILE, y + 7), fill=_LINE)
    pen.rectangle((x, y, x + wide, y + 7), fill=_BAR)
    write(pen, x, y + 26, f"{share:.0%}", 15, _SOFT)


def _hashtag_lines(answer: Answer) -> list[str]:
    return wrap("  ".join(f"#{tag.hashtag}" for tag in answer.hashtags), 18, _ROOM, 2)


def _left(place: int) -> int:
    return _EDGE + _PAD + place * (_TILE + _GAP)


def _box(pen: Any, top: int, tall: int) -> None:
    box = (_EDGE, top, WIDTH - _EDGE, top + tall)
    pen.rounded_rectangle(box, 16, fill=_CARD, outline=_LINE, width=1)
