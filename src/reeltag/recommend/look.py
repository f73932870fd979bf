"""A model with attention and a post in; where it looked, as numbers and in words, out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reeltag.data.batches import PostBatch
from reeltag.features.single import Extracted
from reeltag.models.contract import Attentive, Model
from reeltag.recommend.reasons import Reason

_CLEARLY = 1.5
"""A place is named only where its share is so many times an even one."""


@dataclass(frozen=True)
class Look:
    """Shares of the frames (T,), and of the regions in each frame (T, R), of one post.

    times: seconds of the frames in the clip; grid: rows and columns of the regions.
    """

    times: tuple[float, ...]
    frames: NDArray[np.float64] = field(repr=False)
    regions: NDArray[np.float64] = field(repr=False)

    @property
    def grid(self) -> tuple[int, int]:
        """A square where the regions make one, else one row."""
        count = self.regions.shape[1]
        side = math.isqrt(count)
        return (side, side) if side * side == count else (1, count)

    def as_json(self) -> dict[str, Any]:
        """Each frame's time and share, and the strongest region of each."""
        return {
            "grid": list(self.grid),
            "frames": [
                {
                    "time": round(time, 3),
                    "share": round(float(share), 6),
                    "strongest": self._region(shares),
                }
                for time, share, shares in zip(self.times, self.frames, self.regions, strict=True)
            ],
        }

    def reason(self) -> Reason | None:
        """What it looked at most, in words; None where no place stands out."""
        both = self.frames[:, None] * self.regions
        frame, region = np.unravel_index(int(both.argmax()), both.shape)
        time, share = self.times[frame], float(both[frame, region])
        facts: dict[str, Any] = {"time": round(time, 3), "frame_share": float(self.frames[frame])}
        if float(self.regions[frame, region]) * both.shape[1] >= _CLEARLY:
            place = self._place(int(region))
            facts |= {"place": place, "share": share, "even_share": 1 / both.size}
            return Reason("look", f"looked most at the {place} of the frame at {time:.1f} s", facts)
        if float(self.frames[frame]) * len(self.frames) >= _CLEARLY:
            return Reason("look", f"looked most at the frame at {time:.1f} s", facts)
        return None

    def _region(self, shares: NDArray[np.float64]) -> dict[str, Any]:
        place = int(shares.argmax())
        row, column = divmod(place, self.grid[1])
        return {"row": row, "column": column, "share": round(float(shares[place]), 6)}

    def _place(self, region: int) -> str:
        """The ninth of the picture in which a region's centre lies."""
        rows, columns = self.grid
        row, column = divmod(region, columns)
        height = ("top", "", "bottom")[int((row + 0.5) / rows * 3)]
        side = ("left", "", "right")[int((column + 0.5) / columns * 3)]
        return " ".join(part for part in (height, side) if part) or "middle"


def look_of(model: Model, posts: PostBatch, extracted: Extracted) -> Look | None:
    """Where `model` looks for the one post in `posts`.

    None where it has no attention, or reads something else than the frames that were decoded.
    """
    if not isinstance(model, Attentive) or extracted.frames is None:
        return None
    found = model.attention(posts.to(model.device))
    frames = found.frames[0].double().cpu().numpy()
    regions = found.regions[0].double().cpu().numpy()
    if regions.size < 2 or len(frames) != len(extracted.frame_times) or not frames.any():
        return None
    return Look(extracted.frame_times, frames, regions)
