"""A topic and a seed in, the frames of a moving picture out: (frames, height, width, 3) uint8.

Everything is drawn with NumPy on a float canvas. Each scene has its own colours,
textures and movement, and every clip of a scene differs: palette, positions, speeds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from reeltag.demo.canvas import Canvas, Colour, Image

Random = np.random.Generator


def draw(topic: str, random: Random, frames: int, height: int, width: int) -> NDArray[np.uint8]:
    """Draw a clip of `topic`. Shape: (frames, height, width, 3), RGB."""
    paint = SCENES[topic](random, height, width)
    film = np.empty((frames, height, width, 3), np.uint8)
    brightness = random.uniform(0.85, 1.05)
    grain = random.normal(0, 2.5, (height, width, 1)).astype(np.float32)
    for index in range(frames):
        image = paint(index / 12.0)
        image *= 255 * brightness
        image += grain
        film[index] = np.clip(image, 0, 255, out=image)
    return film


def _gradient(height: int, width: int, top: Colour, bottom: Colour) -> Image:
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    row = (1 - down) * np.asarray(top, np.float32) + down * np.asarray(bottom, np.float32)
    return np.repeat(row, width, axis=1)


def _texture(random: Random, height: int, width: int, cells: int) -> Image:
    """Smooth noise in 0..1, (height, width): a random grid, stretched."""
    grid = random.random((cells + 1, cells + 1), dtype=np.float32)
    y, x = np.linspace(0, cells - 1e-3, height), np.linspace(0, cells - 1e-3, width)
    i, j = y.astype(int), x.astype(int)
    fy, fx = (y - i).astype(np.float32)[:, None], (x - j).astype(np.float32)[None, :]
    upper = grid[i][:, j] * (1 - fx) + grid[i][:, j + 1] * fx
    lower = grid[i + 1][:, j] * (1 - fx) + grid[i + 1][:, j + 1] * fx
    return np.asarray(upper * (1 - fy) + lower * fy)


def _tint(random: Random, colour: Colour, by: float = 0.06) -> Image:
    return np.clip(np.asarray(colour, np.float32) + random.uniform(-by, by, 3), 0, 1).astype("f4")


def _sea(random: Random, height: int, width: int) -> Callable[[float], Image]:
    skies = [((0.45, 0.7, 0.95), (0.85, 0.93, 1.0)), ((0.95, 0.5, 0.35), (1.0, 0.85, 0.55))]
    top, low = skies[random.integers(2)]
    still = _gradient(height, width, _tint(random, top), _tint(random, low))
    horizon = int(height * random.uniform(0.36, 0.48))
    sun, boat = random.uniform(0.2, 0.8), random.uniform(0.1, 0.9)
    Canvas(still).disc(sun, horizon / height * 0.6, 0.09, (1.0, 0.95, 0.75))
    deep, pale = _tint(random, (0.02, 0.25, 0.45)), _tint(random, (0.2, 0.6, 0.7))
    rows = np.linspace(0, 1, height - horizon, dtype=np.float32)[:, None]
    columns = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    pace, crest = random.uniform(3, 6), random.uniform(9, 14)
    bend = 1.2 * np.sin(columns * random.uniform(5, 12) + random.uniform(0, 6))

    def paint(t: float) -> Image:
        image = still.copy()
        wave = np.sin(np.sqrt(rows + 0.02) * crest * 4 - pace * t + bend)
        light = (0.25 + 0.55 * rows) * (0.6 + 0.4 * wave)
        image[horizon:] = deep + light[..., None] * (pale - deep)
        foam = np.clip(wave * 6 - 5.2, 0, 1) * (0.25 + rows)
        image[horizon:] += np.clip(foam, 0, 0.8)[..., None] * (1 - image[horizon:])
        canvas = Canvas(image)
        x, y = (boat + 0.04 * t) % 1.1, horizon / height + 0.01 * np.sin(2 * t)
        canvas.triangle(x, y - 0.12, 0.1, 0.11, (0.98, 0.98, 0.95))
        canvas.box(x - 0.06, y - 0.005, 0.12, 0.025, (0.45, 0.2, 0.12))
        return image

    return paint


def _forest(random: Random, height: int, width: int) -> Callable[[float], Image]:
    leaves = _texture(random, height, width * 2, 28) * _texture(random, height, width * 2, 9)
    dark, light = _tint(random, (0.04, 0.16, 0.05)), _tint(random, (0.45, 0.72, 0.2), 0.1)
    foliage = dark + (leaves * 1.6)[..., None] * (light - dark)
    ground = int(height * 0.82)
    foliage[ground:] = foliage[ground:] * 0.5 + np.asarray((0.2, 0.13, 0.05), np.float32)
    trunks = [(x, random.uniform(0.02, 0.06), random.uniform(0.5, 1)) for x in random.random(9)]
    speed, slope = random.uniform(8, 22), random.uniform(0.3, 0.7)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / width
    shafts = np.clip(np.sin((x + slope * y) * random.uniform(12, 18)) - 0.55, 0, 1) * 0.5
    bird = random.uniform(0.2, 0.5)

    def paint(t: float) -> Image:
        shift = int(speed * t)
        image = foliage[:, shift : shift + width].copy()
        canvas = Canvas(image)
        for place, thick, shade in trunks:
            left = (place * 1.6 - shift / width * (0.6 + shade)) % 1.4 - 0.2
            canvas.box(left, 0, thick, 0.86, (0.3 * shade, 0.2 * shade, 0.11 * shade))
            canvas.box(left, 0, thick * 0.3, 0.86, (0.42 * shade, 0.3 * shade, 0.18 * shade))
        image += shafts[..., None] * (0.5 + 0.3 * np.sin(t)) * (1 - image)
        wing = 0.02 * abs(np.sin(9 * t))
        canvas.disc((0.1 + 0.3 * t) % 1.0, bird, 0.025, (0.85, 0.2, 0.1), tall=0.5 + 20 * wing)
        return image

    return paint


def _city(random: Random, height: int, width: int) -> Callable[[float], Image]:
    still = _gradient(height, width, (0.02, 0.02, 0.1), _tint(random, (0.25, 0.12, 0.35), 0.1))
    canvas = Canvas(still)
    canvas.disc(random.uniform(0.1, 0.9), 0.12, 0.05, (0.95, 0.95, 0.85))
    windows: list[tuple[float, float, Image]] = []
    left = -0.05
    while left < 1:
        wide, top = random.uniform(0.09, 0.2), random.uniform(0.2, 0.55)
        canvas.box(left, top, wide, 1 - top, _tint(random, (0.06, 0.06, 0.12), 0.03))
        for wx in np.arange(left + 0.015, left + wide - 0.02, 0.034):
            for wy in np.arange(top + 0.025, 0.78, 0.045):
                lit = _tint(random, (0.98, 0.8, 0.4), 0.12)
                windows += [(wx, wy, lit)] if random.random() < 0.6 else []
        left += wide + random.uniform(0, 0.02)
    canvas.box(0, 0.82, 1, 0.18, (0.05, 0.05, 0.06))
    for wx, wy, colour in windows:
        canvas.box(wx, wy, 0.018, 0.022, colour)
    cars = [(random.random(), random.choice((-1, 1)), random.uniform(0.25, 0.6)) for _ in range(7)]
    sign = (random.uniform(0.15, 0.75), random.uniform(0.4, 0.6), _tint(random, (0.95, 0.1, 0.6)))

    def paint(t: float) -> Image:
        image = still.copy()
        canvas = Canvas(image)
        for number in range(int(t * 6), int(t * 6) + 14):
            wx, wy, _ = windows[number * 37 % len(windows)]
            canvas.box(wx, wy, 0.018, 0.022, (0.05, 0.05, 0.1))
        if np.sin(8 * t) > -0.4:
            canvas.box(sign[0], sign[1], 0.14, 0.035, sign[2])
        for start, way, pace in cars:
            x = (start + way * pace * t) % 1.2 - 0.1
            y, colour = (0.88, (1.0, 0.95, 0.8)) if way > 0 else (0.94, (1.0, 0.1, 0.05))
            canvas.disc(x, y, 0.06, colour, soft=1.0)
            canvas.disc(x, y, 0.012, colour)
        return image

    return paint


def _kitchen(random: Random, height: int, width: int) -> Callable[[float], Image]:
    still = np.empty((height, width, 3), np.float32)
    still[:] = _tint(random, (0.93, 0.86, 0.72), 0.05)
    step = max(width // 10, 8)
    still[::step] = still[:, ::step] = (0.78, 0.7, 0.58)
    canvas = Canvas(still)
    canvas.box(0, 0.5, 1, 0.5, _tint(random, (0.55, 0.34, 0.18)))
    grain = _texture(random, height - height // 2, width, 30)
    still[height // 2 :] *= 0.8 + 0.4 * grain[..., None]
    px, py = random.uniform(0.4, 0.55), 0.62
    flat = 0.75
    canvas.box(px + 0.28, py - 0.02, 0.4, 0.04, (0.12, 0.1, 0.1))
    canvas.disc(px, py, 0.35, (0.12, 0.12, 0.13), tall=flat)
    canvas.disc(px, py, 0.31, (0.3, 0.3, 0.32), tall=flat)
    colours = [(0.85, 0.15, 0.1), (0.95, 0.6, 0.1), (0.3, 0.6, 0.15), (0.95, 0.9, 0.55)]
    ratio = width / height
    food = [
        (random.uniform(0, 6.3), random.uniform(0, 0.25), random.uniform(0.02, 0.05), c)
        for c in random.permutation(np.asarray(colours * 7))
    ]
    steam = [(random.uniform(-0.2, 0.2), random.random()) for _ in range(5)]
    stir = random.uniform(0.6, 1.6)

    def paint(t: float) -> Image:
        image = still.copy()
        canvas = Canvas(image)
        for angle, away, size, colour in food:
            x = px + away * np.cos(angle + stir * t)
            y = py + away * np.sin(angle + stir * t) * flat * ratio + 0.006 * np.sin(14 * t + angle)
            canvas.disc(x, y, size, colour, tall=0.8)
        for side, phase in steam:
            up = (phase + 0.5 * t) % 1
            window = 0.08 + 0.1 * up
            canvas.disc(
                px + side + 0.03 * np.sin(4 * up + t), py - 0.55 * up, window, _STEAM, soft=2.2
            )
        return image

    return paint


_STEAM = (1.0, 1.0, 1.0)


def _football(random: Random, height: int, width: int) -> Callable[[float], Image]:
    stripes = np.arange(width) * random.integers(6, 10) // width % 2
    green = _tint(random, (0.2, 0.55, 0.18))
    still = np.empty((height, width, 3), np.float32)
    still[:] = green * (0.85 + 0.25 * stripes.astype(np.float32))[None, :, None]
    canvas = Canvas(still)
    white = (0.95, 0.97, 0.95)
    middle = random.uniform(0.3, 0.7)
    ratio = width / height
    canvas.disc(middle, 0.5, 0.16, white)
    inner = green * (0.85 + 0.25 * float(stripes[int(middle * width)]))
    canvas.disc(middle, 0.5, 0.148, inner)
    canvas.box(middle - 0.006, 0, 0.012, 1, white)
    canvas.box(0, 0.04, 1, 0.015, white)
    canvas.box(0, 0.945, 1, 0.015, white)
    shirts = [_tint(random, c, 0.1) for c in ((0.85, 0.1, 0.1), (0.1, 0.2, 0.8))]
    players = [(*random.random(2), random.uniform(0, 6.3), shirts[i % 2]) for i in range(12)]
    pace, bow = random.uniform(0.3, 0.55), random.uniform(0.15, 0.3)

    def paint(t: float) -> Image:
        image = still.copy()
        canvas = Canvas(image)
        for x, y, phase, shirt in players:
            x = 0.05 + 0.9 * x + 0.06 * np.sin(1.7 * t + phase)
            y = 0.1 + 0.75 * y + 0.05 * np.cos(1.3 * t + phase)
            leg = 0.012 * np.sin(12 * t + phase)
            canvas.disc(x, y + 0.07 * ratio, 0.03, green * 0.55, tall=0.4)
            canvas.box(x - 0.014 + leg, y + 0.03, 0.01, 0.06 * ratio, (0.9, 0.75, 0.6))
            canvas.box(x + 0.006 - leg, y + 0.03, 0.01, 0.06 * ratio, (0.9, 0.75, 0.6))
            canvas.disc(x, y, 0.03, shirt, tall=1.3)
            canvas.disc(x, y - 0.05 * ratio, 0.016, (0.35, 0.2, 0.12))
        x = (0.1 + pace * t) % 1.1
        y = 0.75 - bow * 4 * (x % 0.5) * (0.5 - x % 0.5) * 4
        canvas.disc(x, y, 0.034, (0.98, 0.98, 0.98))
        for corner in range(3):
            turn = 7 * t + corner * 2.1
            canvas.disc(
                x + 0.018 * np.cos(turn), y + 0.018 * np.sin(turn) * ratio, 0.009, (0, 0, 0)
            )
        return image

    return paint


def _band(random: Random, height: int, width: int) -> Callable[[float], Image]:
    still = _gradient(height, width, (0.03, 0.01, 0.06), (0.1, 0.03, 0.1))
    # Light is soft: half the size, stretched, looks the same and takes a quarter.
    y, x = np.mgrid[0 : height // 2, 0 : width // 2].astype(np.float32)
    y, x = y / (height // 2), x / (width // 2)
    lights = [
        (place, _tint(random, colour, 0.15), random.uniform(1, 2.5), random.uniform(0, 6))
        for place, colour in zip(
            (0.15, 0.4, 0.62, 0.88),
            ((1.0, 0.1, 0.5), (0.2, 0.4, 1.0), (0.9, 0.7, 0.1), (0.2, 0.9, 0.7)),
            strict=True,
        )
    ]
    tempo = random.uniform(1.6, 2.4)
    heads = random.random((22, 2))
    members = sorted(random.uniform(0.12, 0.88, random.integers(3, 5)))

    def paint(t: float) -> Image:
        glow = np.zeros((height // 2, width // 2, 3), np.float32)
        for place, colour, pace, phase in lights:
            slope = np.float32(0.45 * np.sin(pace * t + phase))
            beam = np.clip(1 - np.abs(x - place - slope * y) / (0.03 + 0.16 * y), 0, 1)
            glow += (beam * (0.85 - 0.5 * y))[..., None] * colour
        image = still + np.repeat(np.repeat(glow, 2, axis=0), 2, axis=1)
        np.clip(image, 0, 1, out=image)
        canvas = Canvas(image)
        canvas.box(0, 0.72, 1, 0.28, (0.12, 0.06, 0.08))
        beat = abs(np.sin(np.pi * tempo * t))
        for number, place in enumerate(members):
            sway = 0.015 * np.sin(2 * np.pi * tempo * t / 2 + number)
            canvas.box(place - 0.035 + sway, 0.46, 0.07, 0.28, (0.02, 0.02, 0.03))
            canvas.disc(place + sway, 0.42 + 0.01 * beat, 0.04, (0.02, 0.02, 0.03))
            canvas.box(place - 0.1 + sway, 0.56, 0.2, 0.02, (0.5, 0.25, 0.1))
        for hx, hy in heads:
            bounce = 0.02 * abs(np.sin(np.pi * tempo * t + 3 * hx))
            canvas.disc(hx, 0.88 + 0.1 * hy - bounce, 0.05, (0.01, 0.01, 0.02), tall=1.2)
        return image

    return paint


def _cat(random: Random, height: int, width: int) -> Callable[[float], Image]:
    still = np.empty((height, width, 3), np.float32)
    still[:] = _tint(random, (0.75, 0.8, 0.85), 0.12)
    canvas = Canvas(still)
    canvas.box(0, 0.68, 1, 0.32, _tint(random, (0.8, 0.62, 0.5), 0.1))
    canvas.disc(0.5, 0.85, 0.42, _tint(random, (0.7, 0.35, 0.4), 0.15), tall=0.3)
    furs = ((0.9, 0.55, 0.2), (0.35, 0.35, 0.38), (0.95, 0.92, 0.88), (0.15, 0.13, 0.14))
    fur = _tint(random, furs[random.integers(4)])
    shade, eye = fur * 0.7, _tint(random, (0.5, 0.8, 0.2), 0.1)
    wool = _tint(random, (0.85, 0.2, 0.35), 0.2)
    ratio = width / height
    home, pace = random.uniform(0.4, 0.6), random.uniform(2, 4)

    def paint(t: float) -> Image:
        image = still.copy()
        canvas = Canvas(image)
        x, y = home + 0.03 * np.sin(pace * t), 0.66 + 0.008 * np.sin(2 * pace * t)
        for joint in range(12):
            bend = joint / 11 * np.sin(pace * t) * 0.12
            tail = y + (0.06 - joint * 0.032) * ratio
            canvas.disc(x + 0.17 + 0.05 * np.sin(joint / 4) + bend, tail, 0.024, shade)
        canvas.disc(x, y, 0.18, fur, tall=1.05)
        for stripe in (-0.06, 0.0, 0.06):
            canvas.box(x + 0.06 + stripe / 2, y + stripe, 0.07, 0.018, shade)
        hx, hy = x - 0.06, y - 0.22 * ratio
        for side in (-1, 1):
            canvas.triangle(hx + side * 0.075, hy - 0.18 * ratio, 0.09, 0.13 * ratio, fur)
            canvas.triangle(
                hx + side * 0.075, hy - 0.15 * ratio, 0.045, 0.08 * ratio, (0.95, 0.7, 0.7)
            )
        canvas.disc(hx, hy, 0.125, fur, tall=0.88)
        lid = 0.15 if (t * pace) % 5 < 0.5 else 1.1
        for side in (-1, 1):
            canvas.disc(hx + side * 0.05, hy - 0.01, 0.026, eye, tall=lid)
            canvas.disc(hx + side * 0.05 + 0.006, hy - 0.01, 0.01, (0, 0, 0), tall=lid * 1.9)
            for whisker in (-0.012, 0.012):
                left = hx + 0.03 if side > 0 else hx - 0.15
                canvas.box(left, hy + 0.05 * ratio + whisker, 0.12, 0.005, (0.98, 0.98, 0.98))
        canvas.disc(hx, hy + 0.035 * ratio, 0.015, (0.9, 0.45, 0.5), tall=0.7)
        for side in (-1, 1):
            canvas.disc(x - 0.02 + side * 0.07, y + 0.17 * ratio, 0.045, fur, tall=0.7)
        bx = 0.5 + 0.38 * np.sin(0.8 * pace * t)
        canvas.disc(bx, 0.9, 0.055, wool)
        canvas.disc(bx + 0.02 * np.cos(6 * t), 0.9 + 0.02 * np.sin(6 * t), 0.02, wool * 0.7)
        return image

    return paint


def _snow(random: Random, height: int, width: int) -> Callable[[float], Image]:
    still = _gradient(height, width, _tint(random, (0.55, 0.68, 0.85)), (0.9, 0.93, 0.97))
    canvas = Canvas(still)
    for peak in range(5):
        tip, high = random.uniform(-0.1, 1.1), random.uniform(0.3, 0.55)
        top, wide = 0.75 - high, random.uniform(0.6, 1.0)
        rock = _tint(random, (0.42, 0.48, 0.58)) + peak * 0.03
        canvas.triangle(tip, top, wide, high, rock)
        canvas.triangle(tip, top, wide * 0.38, high * 0.38, (0.97, 0.98, 1.0))
    canvas.box(0, 0.74, 1, 0.26, (0.94, 0.96, 0.99))
    for tree in sorted(random.uniform(0.68, 0.86, 7)):
        x, size = random.random(), random.uniform(0.1, 0.17)
        for tier in range(3):
            foot = tree - 0.16 + tier * 0.05
            canvas.triangle(x, foot, size * (0.6 + 0.2 * tier), 0.09, (0.1, 0.27, 0.22))
            canvas.triangle(x, foot, size * 0.25, 0.035, (0.93, 0.96, 0.98))
    flakes = random.random((80, 4))
    wind, fall = random.uniform(-0.15, 0.15), random.uniform(0.2, 0.4)

    def paint(t: float) -> Image:
        image = still.copy()
        canvas = Canvas(image)
        for fx, fy, size, phase in flakes:
            x = (fx + wind * t + 0.015 * np.sin(3 * t + 6 * phase)) % 1
            canvas.disc(x, (fy + fall * (0.6 + size) * t) % 1, 0.004 + 0.01 * size, _STEAM)
        return image

    return paint


SCENES: dict[str, Callable[[Random, int, int], Callable[[float], Image]]] = {
    "sea": _sea,
    "forest": _forest,
    "city": _city,
    "kitchen": _kitchen,
    "football": _football,
    "band": _band,
    "cat": _cat,
    "snow": _snow,
}
"""Topic to a function that prepares one clip and returns what paints it at a time in seconds."""
