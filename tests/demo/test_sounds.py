"""Pictures and sounds: right shapes, in range, the same for a seed, apart between topics."""

from __future__ import annotations

import numpy as np
import pytest

from reeltag.demo.scenes import SCENES, draw
from reeltag.demo.sounds import RATE, SOUNDS, sound


@pytest.mark.parametrize("topic", sorted(SOUNDS))
def test_sound_is_finite_audible_and_a_function_of_the_seed(topic: str) -> None:
    wave = sound(topic, np.random.default_rng(5), 2.25)
    assert wave.shape == (round(2.25 * RATE),)
    assert wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert 0.4 < np.abs(wave).max() < 0.9
    assert np.array_equal(wave, sound(topic, np.random.default_rng(5), 2.25))
    assert not np.array_equal(wave, sound(topic, np.random.default_rng(6), 2.25))


@pytest.mark.parametrize("topic", sorted(SCENES))
@pytest.mark.parametrize(("height", "width"), [(60, 80), (106, 60)])
def test_picture_moves_and_is_a_function_of_the_seed(topic: str, height: int, width: int) -> None:
    film = draw(topic, np.random.default_rng(5), 12, height, width)
    assert film.shape == (12, height, width, 3)
    assert film.dtype == np.uint8
    assert (film[0] != film[-1]).any()
    assert np.array_equal(film, draw(topic, np.random.default_rng(5), 12, height, width))
    assert not np.array_equal(film, draw(topic, np.random.default_rng(6), 12, height, width))
