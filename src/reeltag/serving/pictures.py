"""Frames of a clip in; small pictures for a page, and how much the model looked at each, out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.recommend.lettering import pillow
from reeltag.recommend.look import Look

MOST = 12
"""Frames that are shown."""
SIDE = 120
"""Their height and width in pixels, at most."""


def strip_of(
    frames: NDArray[np.uint8] | None, times: Sequence[float], look: Look | None
) -> list[dict[str, Any]]:
    """Some of the frames (n, H, W, 3), evenly apart, as JPEG in `data:` addresses.

    `weight` is the share of the model's attention; None where it has none. Raises
    `MissingExtraError` without Pillow.
    """
    if frames is None or not len(frames):
        return []
    images = pillow()
    shown = []
    for n in np.linspace(0, len(frames) - 1, min(MOST, len(frames))).round().astype(int).tolist():
        picture = images.Image.fromarray(np.ascontiguousarray(frames[n]))
        picture.thumbnail((SIDE, SIDE))
        held = BytesIO()
        picture.save(held, "JPEG", quality=75)
        shown.append(
            {
                "time": round(times[n], 3) if n < len(times) else 0.0,
                "image": "data:image/jpeg;base64," + b64encode(held.getvalue()).decode(),
                "weight": None if look is None else round(float(look.frames[n]), 6),
            }
        )
    return shown
