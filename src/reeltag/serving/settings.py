"""What a service is told when it starts: where it listens, and how much it takes."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from reeltag.serving.engine import EngineSettings

MB = 1_000_000


class ServeSettings(BaseModel):
    """Settings of `reeltag serve`; a field's name is the option's.

    Example:
        ServeSettings(run="runs/house", port=0, body_mb=50)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: Path
    """Run folder."""
    host: str = "127.0.0.1"
    """Address to listen on; on any that is not this machine's alone, a key is needed."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0: a free one."""
    store: str | None = None
    """URL of the store; default RUN/serving.sqlite."""
    keys: bool = False
    """A key is needed on this machine, too."""
    uploads_folder: Path | None = None
    """Where clips lie while they are read; emptied at the start and removed at the end. Default: a
    private folder of the system's temporary one, under a name that nobody foresees."""
    body_mb: int = Field(default=200, ge=1)
    """Size of a request with a clip (MB, 10^6 bytes)."""
    json_mb: int = Field(default=16, ge=1)
    """Size of any other request (MB)."""
    patience: float = Field(default=10.0, gt=0)
    """Seconds that a request's body may take, and more for each part of it that came ..."""
    slowest: int = Field(default=32_000, ge=1)
    """... so many bytes a second are the slowest that is waited for."""
    caption_chars: int = Field(default=20_000, ge=1)
    most_hashtags: int = Field(default=100, ge=1)
    """Hashtags of one published post."""
    uploads: int = Field(default=4, ge=1)
    """Requests with a clip at once; each may lie on the disk with `body_mb`."""
    decoders: int = Field(default=2, ge=1)
    """Clips that are read at once, each by a child process."""
    clip_seconds: float = Field(default=30.0, gt=0)
    """Seconds until a decoder is killed and its clip refused."""
    deadline: float = Field(default=60.0, gt=0)
    """Seconds in which a clip is to be read; one that waited for longer is dropped."""
    keep_days: int = Field(default=30, ge=1)
    """Days after which recommendations and failures leave the store."""
    stop_seconds: int = Field(default=30, ge=1)
    """Seconds that requests have to end when the service stops."""
    engine: EngineSettings = EngineSettings()

    @property
    def alone(self) -> bool:
        """Whether only this machine can reach the address."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def locked(self) -> bool:
        """Whether a key is needed."""
        return self.keys or not self.alone
