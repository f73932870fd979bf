"""Shapes in parts of a frame's size in, soft-edged shapes on a float image out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Colour = Sequence[float] | NDArray[Any]
"""Red, green, blue in 0..1."""


class Canvas:
    """One frame, (height, width, 3) float32 in 0..1; shapes are given in parts of its size.

    x and y run from 0 to 1; radii and widths are parts of the width.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.height, self.width = image.shape[:2]

    def disc(
        self, x: float, y: float, r: float, colour: Colour, *, tall: float = 1.0, soft: float = 0.0
    ) -> None:
        """A filled ellipse; `soft` in 0..1 fades it from the middle out."""
        w, h, rx = self.width, self.height, r * self.width
        ry = rx * tall
        x0, x1 = max(int(x * w - rx - 1), 0), min(int(x * w + rx + 2), w)
        y0, y1 = max(int(y * h - ry - 1), 0), min(int(y * h + ry + 2), h)
        if x0 >= x1 or y0 >= y1:
            return
        dx = (np.arange(x0, x1, dtype=np.float32) - x * w) / rx
        dy = (np.arange(y0, y1, dtype=np.float32) - y * h) / ry
        away = 1 - np.sqrt(dx[None, :] ** 2 + dy[:, None] ** 2)
        edge = soft if soft else 1.5 / min(rx, ry)
        self.blend(x0, x1, y0, y1, np.clip(away / edge, 0, 1), colour)

    def box(self, x: float, y: float, w: float, h: float, colour: Colour) -> None:
        """A filled rectangle from its upper left corner; w and h are parts of the sides."""
        x0, x1 = (max(round(v * self.width), 0) for v in (x, x + w))
        y0, y1 = (max(round(v * self.height), 0) for v in (y, y + h))
        self.image[y0:y1, x0:x1] = colour

    def triangle(self, x: float, y: float, w: float, h: float, colour: Colour) -> None:
        """A filled triangle standing on its base: tip at (x, y), w wide, h high."""
        y0, y1 = max(int(y * self.height), 0), min(int((y + h) * self.height) + 1, self.height)
        x0 = max(int((x - w / 2) * self.width), 0)
        x1 = min(int((x + w / 2) * self.width) + 2, self.width)
        if x0 >= x1 or y0 >= y1:
            return
        down = (np.arange(y0, y1, dtype=np.float32) / self.height - y) / h
        side = np.abs(np.arange(x0, x1, dtype=np.float32) / self.width - x)
        inside = (down[:, None] * w / 2 - side[None, :]) * self.width
        self.blend(x0, x1, y0, y1, np.clip(inside + 0.5, 0, 1), colour)

    def blend(self, x0: int, x1: int, y0: int, y1: int, mask: Image, colour: Colour) -> None:
        """Lay `colour` over a window as strongly as `mask` says."""
        window = self.image[y0:y1, x0:x1]
        window += mask[..., None] * (np.asarray(colour, np.float32) - window)
