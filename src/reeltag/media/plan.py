"""Which packets to decode: the packets' times go in, target frames and packet ranges come out.

Decoding is the cost, so as little of it as possible is done. Every frame wanted may move
by a quarter of the spacing to the frame nearest behind a keyframe; packets of a
group of pictures after its last target, and whole groups without one, are not decoded.
The plan depends on the packets alone: the same clip always gives the same frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLACK = 0.25
"""How far a frame may move from its ideal time, as a part of the spacing."""


@dataclass
class Packets:
    """Video packets in decoding order, as the first pass over the file found them."""

    times: list[float | None] = field(default_factory=list)
    """Presentation time in seconds, from `pts`, else `dts`, else None."""
    keys: list[bool] = field(default_factory=list)
    hidden: list[bool] = field(default_factory=list)
    """Decoded for others' sake only (edit lists); never shown."""
    frame_seconds: float = 0.04

    def __len__(self) -> int:
        return len(self.times)

    def seconds(self) -> NDArray[np.float64]:
        """Time of each packet from the clip's start; by position where any time is unknown."""
        if any(t is None for t in self.times):
            return np.arange(len(self.times), dtype=np.float64) * self.frame_seconds
        times = np.array(self.times, dtype=np.float64)
        shown = ~np.array(self.hidden, dtype=bool)
        return np.asarray(times - (times[shown].min() if shown.any() else times.min(initial=0.0)))

    def duration(self) -> float:
        """Seconds from the first frame shown to the end of the last."""
        if not len(self):
            return 0.0
        return float(self.seconds().max()) + self.frame_seconds


def targets(packets: Packets, want: dict[str, Any], max_duration: float) -> list[int]:
    """Positions (in decoding order) of the packets whose frames `want` asks for, by time."""
    if not len(packets):
        return []
    seconds = packets.seconds()
    duration = min(packets.duration(), max_duration)
    shown = np.flatnonzero(~np.array(packets.hidden) & (seconds >= 0) & (seconds <= duration))
    if not len(shown):
        shown = np.arange(len(packets))
    count, fps = int(want["count"]), want["fps"]
    if fps is not None:
        count = max(1, min(count, int(np.floor(duration * fps + 1e-6))))
    spacing = duration / count
    cost = _packets_since_key(packets)[shown]
    chosen: set[int] = set()
    for slot in range(count):
        ideal = (slot + 0.5) * spacing
        distance = np.abs(seconds[shown] - ideal)
        near = distance <= spacing * SLACK
        if near.any():
            order = np.lexsort((distance, np.where(near, cost, np.iinfo(np.int64).max)))
            chosen.add(int(shown[order[0]]))
        else:
            begun = seconds[shown] <= ideal + 1e-6  # the picture on show is the last one begun
            chosen.add(int(shown[np.where(begun, distance, 1e9 + distance).argmin()]))
    return sorted(chosen, key=lambda k: (seconds[k], k))


def ranges(packets: Packets, wanted: set[int]) -> list[tuple[int, int]]:
    """Runs [first, last] of packets that must be decoded to show the `wanted` ones.

    A run starts at the keyframe before the target; at the one before that where the
    target is shown earlier than its keyframe (open groups of pictures).
    """
    seconds = packets.seconds()
    keys = np.flatnonzero(np.array(packets.keys, dtype=bool))
    runs: list[tuple[int, int]] = []
    for target in sorted(wanted):
        at = int(np.searchsorted(keys, target, side="right")) - 1
        if at > 0 and seconds[target] < seconds[keys[at]]:
            at -= 1
        first = int(keys[at]) if at >= 0 else 0
        while runs and first <= runs[-1][1] + 1:
            first = min(first, runs.pop()[0])
        runs.append((first, target))
    return runs


def _packets_since_key(packets: Packets) -> NDArray[np.int64]:
    index = np.arange(len(packets), dtype=np.int64)
    last = np.maximum.accumulate(np.where(np.array(packets.keys, dtype=bool), index, 0))
    return np.asarray(index - last)
