"""The filmstrip: one PNG of a sane size, whatever the captions and frames are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reeltag.demo.filmstrip import WIDTH, Chip, Panel, filmstrip
from reeltag.recommend.lettering import clean, width, wrap

images = pytest.importorskip("PIL.Image")

FRAMES = [np.full((240, 320, 3), 30 * n, np.uint8) for n in range(8)]
CHIPS = [Chip("sea", "hit"), Chip("meer", "own"), Chip("雪山", "other")]


def size_of(path: Path) -> tuple[int, int]:
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with images.open(path) as image:
        image.load()
        return image.size


def test_a_png_of_sane_size(tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    filmstrip(path, [Panel(FRAMES, "Lena", "by the sea", CHIPS)] * 4, "What fits these clips")
    wide, high = size_of(path)
    assert wide == WIDTH
    assert 600 < high < 2000
    assert [p.name for p in tmp_path.iterdir()] == ["strip.png"]


@pytest.mark.parametrize(
    ("frames", "creator", "caption", "chips"),
    [
        ([], "Nobody", "", []),
        (FRAMES[:1], "Lena", "long " * 400, CHIPS * 30),
        (FRAMES, "x" * 500, "x" * 5000, [Chip("y" * 300, "hit")]),
        (FRAMES, "海边", "我家的猫太可爱了" * 40, CHIPS),
        (FRAMES, "🌊", "👩‍👩‍👧 ❤️\x00\n\t🐱🧶😻 مرحبا", [Chip("🐱", "own")]),
        ([np.zeros((4, 900, 3), np.uint8)], "wide", "thin", CHIPS),
        ([np.zeros((900, 4, 3), np.uint8)], "tall", "thin", CHIPS),
    ],
    ids=["nothing", "long", "unbroken", "chinese", "emoji", "wide", "tall"],
)
def test_hard_panels_do_not_crash(
    tmp_path: Path,
    frames: list[np.ndarray],
    creator: str,
    caption: str,
    chips: list[Chip],
) -> None:
    path = tmp_path / "strip.png"
    filmstrip(path, [Panel(frames, creator, caption, chips)], "A title " * 40)
    assert size_of(path)[0] == WIDTH


def test_no_panels_is_a_picture_too(tmp_path: Path) -> None:
    filmstrip(tmp_path / "strip.png", [], "")
    assert size_of(tmp_path / "strip.png")[0] == WIDTH


def test_wrapping_keeps_to_the_room_and_marks_what_is_cut() -> None:
    lines = wrap("some words " * 50, 19, 300, 2)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    assert all(width(line, 19) <= 300 for line in lines)
    assert wrap("short", 19, 300, 2) == ["short"]
    assert wrap("", 19, 300, 2) == []
    assert "".join(wrap("a" * 90, 19, 300, 9)) == "a" * 90


def test_steering_characters_are_left_out() -> None:
    assert clean(" a\n\x00 ❤️ b‍c ") == "a ❤ bc"
