"""Text in any script in, its width and its drawing out, with fonts found on this machine.

Looks for DejaVu (Matplotlib brings it, Debian has it), then for fonts with Chinese,
Japanese and Korean; where no font has a character, a box stands for it.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reeltag.errors import MissingExtraError

_WIDER = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
)
_NOBODY_HAS = "\U0010fffd"


def pillow() -> Any:
    """Pillow with the modules used here, or `MissingExtraError`."""
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont
    except ImportError as fault:
        raise MissingExtraError("Pillow, which draws pictures,", "media") from fault
    return PIL


@cache
def fonts(size: int, bold: bool = False) -> tuple[Any, ...]:
    """Fonts of one size (pixels), the first the one to prefer."""
    images = pillow()
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    homes = [Path("/usr/share/fonts/truetype/dejavu")]
    matplotlib = find_spec("matplotlib")
    if matplotlib is not None and matplotlib.origin:
        homes.insert(0, Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf")
    files = [home / name for home in homes if (home / name).is_file()][:1]
    files += [Path(path) for path in _WIDER if Path(path).is_file()]
    found = [images.ImageFont.truetype(str(path), size) for path in files]
    return (*found, images.ImageFont.load_default(size))


def clean(text: str) -> str:
    """The text on one line, without characters that only steer (joiners, selectors, controls)."""
    kept = (c if not c.isspace() else " " for c in text)
    shown = (c for c in kept if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Mn", "Me"})
    return " ".join("".join(shown).split())


def width(text: str, size: int, bold: bool = False) -> float:
    """How wide `text` is drawn, in pixels."""
    return sum(float(font.getlength(run)) for font, run in _runs(text, size, bold))


def write(
    pen: Any, x: float, y: float, text: str, size: int, colour: str, *, bold: bool = False
) -> None:
    """Draw one line of `text` with its baseline's left end at (x, y)."""
    for font, run in _runs(text, size, bold):
        pen.text((x, y), run, font=font, fill=colour, anchor="ls")
        x += float(font.getlength(run))


def wrap(text: str, size: int, room: float, lines: int, bold: bool = False) -> list[str]:
    """Break `text` into at most `lines` lines of `room` pixels; a dot-dot-dot ends a cut one."""
    broken: list[str] = []
    line = ""
    for word in clean(text).split(" "):
        candidate = f"{line} {word}".strip()
        if width(candidate, size, bold) <= room:
            line = candidate
            continue
        if line:
            broken.append(line)
        line = word
        while width(line, size, bold) > room and len(broken) <= lines:
            fits = _fitting(line, size, room, bold)
            broken.append(line[:fits])
            line = line[fits:]
        if len(broken) > lines:
            break
    if line:
        broken.append(line)
    if len(broken) > lines:
        last = broken[lines - 1]
        while last and width(last + "…", size, bold) > room:
            last = last[:-1]
        broken = [*broken[: lines - 1], last.rstrip() + "…"]
    return broken


def _fitting(text: str, size: int, room: float, bold: bool) -> int:
    """How many first characters fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle], size, bold) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _runs(text: str, size: int, bold: bool) -> list[tuple[Any, str]]:
    """Neighbouring characters of one font together, each with the first font that has it."""
    runs: list[tuple[Any, str]] = []
    for character in text:
        font = _font_for(character, size, bold)
        if runs and runs[-1][0] is font:
            runs[-1] = (font, runs[-1][1] + character)
        else:
            runs.append((font, character))
    return runs


@lru_cache(maxsize=8192)
def _font_for(character: str, size: int, bold: bool) -> Any:
    known = fonts(size, bold)
    if character.isascii():
        return known[0]
    for font in known:
        if _shape(font, character) != _shape(font, _NOBODY_HAS):
            return font
    return known[0]


def _shape(font: Any, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character, mode="L")
    return mask.size, bytes(mask)
