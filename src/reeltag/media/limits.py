"""What one clip may cost: settings go in, and the decoder's child is held to them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """Bounds on the decoding of one clip. Beyond a bound the clip is cut or refused.

    Example:
        Limits(wall_seconds=10, memory_mb=500)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall_seconds: float = Field(default=60.0, gt=0)
    """Seconds until the child is killed and the clip refused."""
    memory_mb: int = Field(default=1500, ge=16)
    """Address space (MiB) a clip may take beyond that of the idle child."""
    max_pixels: int = Field(default=8192 * 4608, ge=1)
    """Pixels of one frame. The default admits 8K (7680 x 4320); larger frames are refused."""
    max_duration: float = Field(default=600.0, gt=0)
    """Seconds read from the clip's start; the rest of a longer clip is left out, with a warning."""
    max_streams: int = Field(default=16, ge=1)
    """Streams in the container; a file with more is refused."""
    max_file_mb: int = Field(default=4096, ge=1)
    """Size of the file (MiB); a larger one is refused."""
    max_frames: int = Field(default=40_000, ge=1)
    """Video packets given to the decoder; the rest are left out, with a warning."""
    threads: int = Field(default=1, ge=1, le=16)
    """Decoder threads. One is best where several clips are decoded side by side."""
