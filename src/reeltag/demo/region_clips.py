"""Planned posts of the world of regions in, a folder of small real mp4 files out.

    yard-0000.mp4     2 s, two moments of a second, no sound
    yard.json         maker, seed and number: clips of another call are made anew

A clip's file is written whole, so a second call makes only what is missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reeltag.demo.canvas import Image
from reeltag.demo.clips import FRAME_RATE, encode
from reeltag.demo.regions import RegionPost, Thing, plan_region_posts
from reeltag.progress import track
from reeltag.storage import write_bytes, write_text

SIZE = 144
"""Side of the square frames in pixels."""
MOMENT_FRAMES = FRAME_RATE
"""Frames of a moment: a second."""
THING = 0.3
"""Side of an object, as a part of the frame's."""
MAKER = "reeltag-regions-1"
"""Changes when the same seed gives other clips."""
COLOURS = {"red": (0.9, 0.12, 0.1), "blue": (0.12, 0.3, 0.95)}
_DARK: Image = np.array((0.03, 0.05, 0.06), np.float32)
_LIGHT: Image = np.array((0.97, 0.95, 0.85), np.float32)
_BY_ONE = 16
"""So few clips are made in this process."""


def make_region_clips(folder: Path, posts: int, seed: int, workers: int | None = None) -> None:
    """Draw the clips of `plan_region_posts(posts, seed)` into `folder`, those that are missing."""
    note = json.dumps({"maker": MAKER, "posts": posts, "seed": seed, "generated": True})
    marker = folder / "yard.json"
    folder.mkdir(parents=True, exist_ok=True)
    if not (marker.is_file() and marker.read_text(encoding="utf-8") == note):
        for stale in folder.glob("yard-*.mp4"):
            stale.unlink()
    write_text(marker, note)
    planned = plan_region_posts(posts, seed)
    jobs = [(folder, post) for post in planned if not (folder / f"{post.id}.mp4").is_file()]
    count = workers or len(os.sched_getaffinity(0))
    with track("making clips", len(jobs)) as bar:
        if count == 1 or len(jobs) <= _BY_ONE:
            for job in jobs:
                _make(job)
                bar.advance()
            return
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(_make, jobs, chunksize=8):
                bar.advance()


def _make(job: tuple[Path, RegionPost]) -> None:
    folder, post = job
    write_bytes(folder / f"{post.id}.mp4", encode(film_of(post), None))


def film_of(post: RegionPost) -> NDArray[np.uint8]:
    """The frames of a post's clip: (frames, SIZE, SIZE, 3) RGB."""
    random = np.random.default_rng(int(post.id.rpartition("-")[2]))
    film = np.empty((len(post.moments) * MOMENT_FRAMES, SIZE, SIZE, 3), np.uint8)
    for at, moment in enumerate(post.moments):
        still = np.empty((SIZE, SIZE, 3), np.float32)
        still[:] = _DARK + np.float32(moment.light) * (_LIGHT - _DARK)
        for thing in moment.things:
            _draw(still, thing)
        for frame in range(MOMENT_FRAMES):
            grain = random.normal(0, 0.01, (SIZE, SIZE, 1))
            film[at * MOMENT_FRAMES + frame] = np.clip((still + grain) * 255, 0, 255)
    return film


def _draw(image: Image, thing: Thing) -> None:
    """Lay an object over the frame: a coloured tile that carries its shape in white."""
    side = round(THING * SIZE)
    left = min(max(round(thing.x * SIZE - side / 2), 0), SIZE - side)
    top = min(max(round(thing.y * SIZE - side / 2), 0), SIZE - side)
    window = image[top : top + side, left : left + side]
    window[:] = COLOURS[thing.team]
    window += shape_mask(thing.shape, side)[..., None] * (1 - window)


@cache
def shape_mask(shape: str, side: int) -> Image:
    """Where a shape is on its tile: (side, side) in 0..1, soft at its edges."""
    fine = side * 4
    axis = ((np.arange(fine, dtype=np.float32) + 0.5) / fine * 2 - 1).astype(np.float32)
    x, y = axis[None, :], axis[:, None]
    room = np.maximum(np.abs(x), np.abs(y)) < 0.9
    inside = _SHAPES[shape](x * np.float32(1.15), y * np.float32(1.15)) & room
    return np.asarray(inside.reshape(side, 4, side, 4).mean(axis=(1, 3)), np.float32)


def _star(x: Image, y: Image) -> NDArray[np.bool_]:
    angle, radius = np.arctan2(x, -y), np.hypot(x, y)
    wedge = np.abs((angle / (2 * np.pi / 5) + 0.5) % 1 - 0.5) * 2
    return np.asarray(radius < 1 - 0.6 * wedge)


def _heart(x: Image, y: Image) -> NDArray[np.bool_]:
    up = -y * 1.15 + 0.15
    return np.asarray((1.2 * x) ** 2 + (up - 0.75 * np.sqrt(np.abs(x))) ** 2 < 0.8)


_SHAPES: dict[str, Callable[[Image, Image], NDArray[np.bool_]]] = {
    "ball": lambda x, y: x**2 + y**2 < 0.75,
    "ring": lambda x, y: (x**2 + y**2 < 0.9) & (x**2 + y**2 > 0.35),
    "box": lambda x, y: np.maximum(np.abs(x), np.abs(y)) < 0.75,
    "kite": lambda x, y: np.abs(x) + np.abs(y) < 0.95,
    "tent": lambda x, y: (np.abs(x) < (y + 0.9) / 1.8) & (y < 0.8),
    "plus": lambda x, y: (
        (np.minimum(np.abs(x), np.abs(y)) < 0.25) & (np.maximum(np.abs(x), np.abs(y)) < 0.95)
    ),
    "star": _star,
    "heart": _heart,
    "moon": lambda x, y: (x**2 + y**2 < 0.85) & ((x - 0.45) ** 2 + y**2 > 0.55),
    "ladder": lambda x, y: (np.abs(x) < 0.85) & (np.sin(y * 9.5) > 0),
    "bolt": lambda x, y: (
        (np.abs(x + y * 0.5 + np.where(y > 0, -0.35, 0.35)) < 0.3) & (np.abs(y) < 0.95)
    ),
    "hourglass": lambda x, y: (np.abs(x) < np.abs(y)) & (np.abs(y) < 0.85),
}
