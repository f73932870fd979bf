"""A topic and a seed in, its sound out: float32 samples in -1..1, one channel.

Noise through a band of frequencies, tones that glide, and blows that fade make
eight sounds that differ as their pictures do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RATE = 22_050
"""Samples a second."""

Wave = NDArray[np.float64]
Random = np.random.Generator


def sound(topic: str, random: Random, seconds: float) -> NDArray[np.float32]:
    """Synthesise the sound of a clip. Shape: (seconds * RATE,)."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = SOUNDS[topic](random, time) + 0.004 * random.standard_normal(len(time))
    peak = np.abs(wave).max()
    return np.asarray(wave / max(peak, 1e-9) * random.uniform(0.45, 0.85), np.float32)


def _noise(random: Random, time: Wave, low: float, high: float) -> Wave:
    """White noise of which only low..high Hz is left."""
    spectrum = np.fft.rfft(random.standard_normal(len(time)))
    pitch = np.fft.rfftfreq(len(time), 1 / RATE)
    spectrum[(pitch < low) | (pitch > high)] = 0
    wave = np.fft.irfft(spectrum, len(time))
    return np.asarray(wave / max(np.abs(wave).max(), 1e-9))


def _tone(time: Wave, pitch: Wave | float, harmonics: int = 1) -> Wave:
    """A tone whose pitch (Hz) may glide, with ever weaker harmonics."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(pitch, time.shape)) / RATE
    return np.asarray(sum(np.sin(n * phase) / n for n in range(1, harmonics + 1)))


def _bell(time: Wave, middle: float, width: float) -> Wave:
    """A bump of loudness around `middle` seconds."""
    return np.asarray(np.exp(-(((time - middle) / width) ** 2)))


def _blow(time: Wave, start: float, fade: float) -> Wave:
    """Loudness of something struck at `start` that fades in `fade` seconds."""
    since = time - start
    return np.asarray(np.where(since >= 0, np.exp(-np.maximum(since, 0) / fade), 0.0))


def _sea(random: Random, time: Wave) -> Wave:
    swell = (
        0.35 + 0.65 * np.sin(np.pi * random.uniform(0.35, 0.6) * time + random.uniform(0, 3)) ** 2
    )
    return _noise(random, time, 80, 1800) * swell


def _forest(random: Random, time: Wave) -> Wave:
    wave = 0.08 * _noise(random, time, 300, 3000)
    for _ in range(random.integers(6, 12)):
        at, pitch = random.uniform(0, time[-1]), random.uniform(2800, 5200)
        trill = pitch + 700 * np.sin(2 * np.pi * random.uniform(12, 25) * time)
        wave += _tone(time, trill) * _bell(time, at, random.uniform(0.04, 0.1))
    return wave


def _city(random: Random, time: Wave) -> Wave:
    wave = 0.5 * _tone(time, random.uniform(50, 75), 4) + 0.35 * _noise(random, time, 40, 400)
    at, pitch = random.uniform(0.3, 1.5), random.uniform(330, 420)
    horn = _tone(time, pitch, 6) + _tone(time, pitch * 1.26, 6)
    wave += 0.5 * horn * (np.abs(time - at) < random.uniform(0.1, 0.3))
    wave += 0.8 * _noise(random, time, 200, 1200) * _bell(time, random.uniform(0.5, 2), 0.35)
    return wave


def _kitchen(random: Random, time: Wave) -> Wave:
    wave = 0.25 * _noise(random, time, 5000, 10_500)
    for at in random.uniform(0, time[-1], 60):
        wave += random.uniform(0.1, 0.5) * _noise_burst(random, time, at)
    for at in np.arange(random.uniform(0, 0.3), time[-1], random.uniform(0.25, 0.5)):
        wave += 0.8 * _tone(time, random.uniform(700, 900), 2) * _blow(time, at, 0.02)
    return wave


def _noise_burst(random: Random, time: Wave, at: float) -> Wave:
    wave, start = np.zeros(len(time)), int(at * RATE)
    length = min(int(random.integers(40, 160)), len(time) - start)
    wave[start : start + length] = random.standard_normal(length)
    return wave


def _football(random: Random, time: Wave) -> Wave:
    roar = 0.5 + 0.5 * _bell(time, random.uniform(0.8, 2), 0.7)
    wave = _noise(random, time, 350, 1500) * roar
    at = random.uniform(0.2, 1.2)
    trill = 2900 + 130 * np.sign(np.sin(2 * np.pi * 32 * time))
    wave += 0.7 * _tone(time, trill) * (np.abs(time - at) < random.uniform(0.12, 0.3))
    return wave


def _band(random: Random, time: Wave) -> Wave:
    beat = 60 / random.uniform(100, 150)
    root = random.choice([82.4, 98.0, 110.0, 130.8])
    wave, hiss = np.zeros(len(time)), _noise(random, time, 6000, 10_500)
    for number, at in enumerate(np.arange(0, time[-1], beat / 2)):
        if number % 2 == 0:
            kick = 50 + 90 * _blow(time, at, 0.04)
            wave += 1.2 * _tone(time, kick) * _blow(time, at, 0.12)
        wave += 0.25 * hiss * _blow(time, at, 0.03)
        step = 2 ** (random.choice([0, 3, 5, 7, 10, 12]) / 12)
        wave += 0.5 * _tone(time, root * 2 * step, 5) * _blow(time, at, 0.2)
    wave += 0.4 * _tone(time, root, 6)
    return wave


def _cat(random: Random, time: Wave) -> Wave:
    purr = 1 + _tone(time, 25.0)
    wave = 0.2 * _noise(random, time, 25, 250) * purr
    for _ in range(random.integers(2, 4)):
        at, base = random.uniform(0.3, time[-1]), random.uniform(480, 700)
        glide = base + 0.5 * base * _bell(time, at, 0.15) - 120 * (time - at)
        wave += _tone(time, glide, 5) * _bell(time, at, random.uniform(0.15, 0.3))
    return wave


def _snow(random: Random, time: Wave) -> Wave:
    sweep = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(0.2, 0.5) * time + random.uniform(0, 6))
    wave = _noise(random, time, 350, 600) * sweep + _noise(random, time, 700, 900) * (1 - sweep)
    for at in np.arange(random.uniform(0.1, 0.4), time[-1], random.uniform(0.45, 0.7)):
        wave += 0.7 * _noise(random, time, 1500, 4000) * _blow(time, at, 0.05)
    return wave


SOUNDS: dict[str, Callable[[Random, Wave], Wave]] = {
    "sea": _sea,
    "forest": _forest,
    "city": _city,
    "kitchen": _kitchen,
    "football": _football,
    "band": _band,
    "cat": _cat,
    "snow": _snow,
}
"""Topic to the function that makes its sound from the time of each sample in seconds."""
