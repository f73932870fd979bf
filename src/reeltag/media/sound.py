"""Decoded audio frames go in, mono float32 sound at the wanted rates comes out."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


class SoundSink:
    """Collects one wanted sound; survives a format that changes in mid-stream."""

    def __init__(self, want: dict[str, Any], max_duration: float) -> None:
        self.rate = int(want["rate"])
        seconds = max_duration if want["seconds"] is None else min(want["seconds"], max_duration)
        self.limit = max(1, round(seconds * self.rate))
        self._pieces: list[NDArray[np.float32]] = []
        self._have = 0
        self._resampler: Any = None
        self._format: tuple[Any, ...] | None = None

    @property
    def full(self) -> bool:
        """Whether all the sound wanted has been read."""
        return self._have >= self.limit

    def feed(self, frame: Any) -> None:
        """Add one decoded audio frame."""
        if self.full:
            return
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._format:
            self._drain()
            self._resampler = av.AudioResampler(format="flt", layout="mono", rate=self.rate)
            self._format = kind
        frame.pts = None  # lying timestamps would make the resampler insert or drop samples
        self._keep(self._resampler.resample(frame))

    def finish(self) -> NDArray[np.float32] | None:
        """All the sound as (samples,), None where there was none."""
        self._drain()
        if not self._have:
            return None
        sound = np.concatenate(self._pieces)[: self.limit]
        return np.clip(np.nan_to_num(sound, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0)

    def _drain(self) -> None:
        if self._resampler is not None and not self.full:
            try:
                self._keep(self._resampler.resample(None))
            except (av.FFmpegError, ValueError):
                return
        self._resampler = None

    def _keep(self, frames: list[Any]) -> None:
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.float32, copy=True)
            self._pieces.append(samples)
            self._have += len(samples)
