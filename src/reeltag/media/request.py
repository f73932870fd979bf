"""What is wanted of a clip: frames by count or by rate at a size, sound at a sample rate.

Plain dataclasses: they cross to the child process as JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from reeltag.errors import ConfigError

Fit = Literal["crop", "squash"]
MAX_FRAMES = 4096
MAX_SIZE = 2048


@dataclass(frozen=True)
class Frames:
    """Frames by COUNT (`fps` None: evenly spaced over the clip) or by RATE.

    By rate, `count` is the cap: a clip that would give more gives `count` frames spread
    evenly. A clip with fewer distinct frames gives those it has. Each frame is taken
    within a quarter of the spacing of its ideal time, at the place cheapest to decode.
    """

    count: int
    size: int
    """Side of the square RGB frames, in pixels."""
    fps: float | None = None
    fit: Fit = "crop"
    """crop: shorter side to `size`, centre kept; squash: whole frame, aspect not kept."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_FRAMES:
            raise ConfigError(f"Got {self.count} frames, expected 1 to {MAX_FRAMES}.")
        if not 1 <= self.size <= MAX_SIZE:
            raise ConfigError(f"Got frames of {self.size} px, expected 1 to {MAX_SIZE}.")
        if self.fps is not None and not 0 < self.fps <= 240:
            raise ConfigError(f"Got {self.fps} frames a second, expected 0 to 240.")
        if self.fit not in ("crop", "squash"):
            raise ConfigError(f"Got fit {self.fit!r}, expected crop or squash.")


@dataclass(frozen=True)
class Sound:
    """Mono float32 sound in [-1, 1] at `rate` Hz, at most `seconds` of it."""

    rate: int
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not 1000 <= self.rate <= 192_000:
            raise ConfigError(f"Got a sample rate of {self.rate} Hz, expected 1000 to 192000.")
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"Got {self.seconds} seconds of sound, expected more than 0.")


@dataclass(frozen=True)
class Request:
    """What one reader of a clip wants; None: not wanted."""

    frames: Frames | None = None
    sound: Sound | None = None


def to_json(frames: list[Frames], sounds: list[Sound]) -> dict[str, Any]:
    """The distinct wants of all requests, as JSON types."""
    return {"frames": [asdict(f) for f in frames], "sounds": [asdict(s) for s in sounds]}
