"""Test clips with their recommended hashtags in, one picture (PNG) for people out.

Each clip is a card: its frames on a strip of film, who posted it, the caption, and
the recommended hashtags, coloured by what they are to the creator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reeltag.recommend.lettering import clean, pillow, width, wrap, write
from reeltag.storage import atomic_file

Kind = Literal["hit", "own", "other"]


@dataclass(frozen=True)
class Chip:
    """One recommended hashtag, without `#`."""

    hashtag: str
    kind: Kind
    """hit: the creator put it on this clip; own: on an earlier one; other: neither."""


@dataclass(frozen=True)
class Panel:
    """One test clip."""

    frames: Sequence[NDArray[np.uint8]]
    """Each (height, width, 3), RGB, in order; may be none. As many as fit are shown."""
    creator: str
    caption: str
    chips: Sequence[Chip]
    """Best first."""


WIDTH = 1400
_EDGE, _PAD = 36, 22
_STRIP, _FRAME, _HOLES = 640, 153, 24
_CHIP, _CHIP_TEXT = 34, 17
_PAPER, _CARD, _LINE, _FILM = "#f3f1ec", "#ffffff", "#e2ded5", "#1c1d22"
_INK, _SOFT = "#1f2328", "#6b7078"
_COLOURS: dict[Kind, tuple[str, str, str]] = {
    "hit": ("#1a7f4b", "#1a7f4b", "#ffffff"),
    "own": ("#dbe8fb", "#8fb3e8", "#1d4a8c"),
    "other": ("#ffffff", "#c9c5bb", "#565b63"),
}
"""Filling, border and letters of a chip."""
_LEGEND: tuple[tuple[str, Kind], ...] = (
    ("used on this clip", "hit"),
    ("used by the creator before", "own"),
    ("other suggestion", "other"),
)


def filmstrip(path: Path, panels: Sequence[Panel], title: str) -> None:
    """Write the picture of `panels` to `path`, atomically, as PNG, 1400 pixels wide.

    Raises `MissingExtraError` without Pillow.
    """
    images = pillow()
    laid = [_chip_rows(panel.chips, _text_room()) for panel in panels]
    heights = [_card_height(panel, rows) for panel, rows in zip(panels, laid, strict=True)]
    head = 128
    height = head + sum(heights) + _PAD * len(panels) + _EDGE // 2
    image = images.Image.new("RGB", (WIDTH, height), _PAPER)
    pen = images.ImageDraw.Draw(image)
    _header(pen, title)
    top = head
    for panel, rows, tall in zip(panels, laid, heights, strict=True):
        _card(images, image, pen, panel, rows, top, tall)
        top += tall + _PAD
    with atomic_file(path) as stream:
        image.save(stream, format="PNG")


def _header(pen: Any, title: str) -> None:
    for line in wrap(title, 32, WIDTH - 2 * _EDGE, 1, bold=True):
        write(pen, _EDGE, 58, line, 32, _INK, bold=True)
    write(pen, _EDGE, 96, "generated clips", 18, _SOFT)
    x = float(WIDTH - _EDGE)
    for text, kind in reversed(_LEGEND):
        x -= _chip_width(text, kind)
        _chip(pen, x, 72, text, kind)
        x -= 10


def _card(
    images: Any, image: Any, pen: Any, panel: Panel, rows: list[list[Chip]], top: int, tall: int
) -> None:
    box = (_EDGE, top, WIDTH - _EDGE, top + tall)
    pen.rounded_rectangle(box, 16, fill=_CARD, outline=_LINE, width=1)
    _strip(images, image, pen, panel.frames, top + _PAD)
    left, y = _EDGE + _PAD + _STRIP + 28, top + _PAD + 24
    for line in wrap(panel.creator, 22, _text_room(), 1, bold=True):
        write(pen, left, y, line, 22, _INK, bold=True)
    y += 34
    caption = _caption_lines(panel)
    for line in caption or ["no caption"]:
        write(pen, left, y, line, 19, _INK if caption else "#9a9da3")
        y += 27
    y += 2
    for row in rows:
        x = float(left)
        for chip in row:
            x += _chip(pen, x, y, _label(chip), chip.kind) + 9
        y += _CHIP + 9


def _strip(
    images: Any, image: Any, pen: Any, frames: Sequence[NDArray[np.uint8]], top: int
) -> None:
    """The film with as many frames, evenly apart, as fit in its width."""
    left, tall = _EDGE + _PAD, _FRAME + 2 * _HOLES
    pen.rounded_rectangle((left, top, left + _STRIP, top + tall), 8, fill=_FILM)
    for x in range(left + 6, left + _STRIP - 12, 22):
        for y in (top + 7, top + tall - 17):
            pen.rounded_rectangle((x, y, x + 12, y + 9), 3, fill="#e9e6de")
    if not frames:
        text = "no picture"
        x_text, y_text = left + (_STRIP - width(text, 18)) / 2, top + tall / 2 + 6
        write(pen, x_text, y_text, text, 18, "#9a9da3")
        return
    high, wide = frames[0].shape[:2]
    room, gap = _STRIP - 12, 6
    scale = min(_FRAME / high, room / wide)
    across, down = max(round(wide * scale), 1), max(round(high * scale), 1)
    fit = max(1, min((room + gap) // (across + gap), len(frames)))
    gap = min((room - fit * across) // max(fit - 1, 1), 24)
    x = left + (_STRIP - fit * across - (fit - 1) * gap) // 2
    y = top + _HOLES + (_FRAME - down) // 2
    for number in np.linspace(0, len(frames) - 1, fit).round().astype(int):
        picture = images.Image.fromarray(np.ascontiguousarray(frames[number]))
        picture = picture.resize((across, down), images.Image.Resampling.LANCZOS)
        image.paste(picture, (x, y))
        x += across + gap


def _chip(pen: Any, x: float, y: float, text: str, kind: Kind) -> float:
    """Draw one chip with its upper left corner at (x, y) and return its width."""
    fill, border, letters = _COLOURS[kind]
    wide = _chip_width(text, kind)
    pen.rounded_rectangle(
        (x, y, x + wide, y + _CHIP), _CHIP // 2, fill=fill, outline=border, width=1
    )
    start = x + 14
    if kind == "hit":  # a tick, for those to whom green is no colour
        pen.line(
            [(start, y + 17), (start + 5, y + 22), (start + 13, y + 11)], fill=letters, width=3
        )
        start += 20
    write(pen, start, y + 23, text, _CHIP_TEXT, letters)
    return wide


def _chip_width(text: str, kind: Kind) -> float:
    return width(text, _CHIP_TEXT) + 28 + (20 if kind == "hit" else 0)


def _label(chip: Chip) -> str:
    text = clean(f"#{chip.hashtag}")
    return (wrap(text, _CHIP_TEXT, _text_room() - 60, 1) or [text])[0]


def _chip_rows(chips: Sequence[Chip], room: float) -> list[list[Chip]]:
    rows: list[list[Chip]] = []
    used = room
    for chip in chips:
        wide = _chip_width(_label(chip), chip.kind) + 9
        if not rows or used + wide - 9 > room:
            rows.append([])
            used = 0.0
        rows[-1].append(chip)
        used += wide
    return rows


def _caption_lines(panel: Panel) -> list[str]:
    return wrap(panel.caption, 19, _text_room(), 2)


def _card_height(panel: Panel, rows: list[list[Chip]]) -> int:
    text = 60 + 27 * max(len(_caption_lines(panel)), 1) + (_CHIP + 9) * len(rows)
    return max(_FRAME + 2 * _HOLES, text) + 2 * _PAD


def _text_room() -> float:
    return WIDTH - 2 * _EDGE - 2 * _PAD - _STRIP - 28
