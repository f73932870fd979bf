"""Posts and recommendations for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reeltag.serving.store import Published, Shown

VALUES = {
    "textual-test": np.linspace(-1, 1, 6, dtype=np.float32),
    "visual-test": np.arange(24, dtype=np.float16).reshape(2, 3, 4),
    "textual-tokens": np.arange(5, dtype=np.int64),
    "empty-test": np.zeros((0, 7), dtype=np.float32),
    "acoustic-test": None,
}
POST = Published(
    tenant="acme",
    post="p1",
    user="ann",
    at=1_600_000_000,
    caption="a day at the sea",
    hashtags=["sea", "海", "❤"],
    values=VALUES,
    music="waves",
    place="Kiel",
    recommendation="r1",
)
SHOWN = Shown(
    id="r1",
    tenant="acme",
    user="ann",
    at=1_600_000_000,
    hashtags=[("city", 0.75), ("sea", 0.1), ("food", -1e-9)],
    run="runs/house",
    values=VALUES,
    caption="a day at the sea",
    music="waves",
    place="Kiel",
)


def post(**changes: Any) -> Published:
    """`POST`, changed."""
    return replace(POST, **changes)


def shown(**changes: Any) -> Shown:
    """`SHOWN`, changed."""
    return replace(SHOWN, **changes)


def assert_same_values(got: Any, expected: Any) -> None:
    """Features are equal by name, dtype, shape and bytes."""
    assert set(got) == set(expected)
    for name, value in expected.items():
        if value is None:
            assert got[name] is None
        else:
            assert (got[name].dtype, got[name].shape) == (value.dtype, value.shape)
            assert got[name].tobytes() == value.tobytes()
