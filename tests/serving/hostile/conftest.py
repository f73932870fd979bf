"""A small run that reads clips, and a service for everybody who is hostile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.media.clips import write_clip
from tests.serving.hostile.watch import Held, warmed
from tests.serving.served import Served, served, small_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that reads clips, and observes."""
    with small_run(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.fixture(scope="session")
def service(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that takes small clips, and gives up on them soon."""
    folder = tmp_path_factory.mktemp("served")
    with served(run, folder, body_mb=4, json_mb=16, clip_seconds=10, patience=5) as made:
        yield made


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A good clip."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=10, noise=7).read_bytes()


@pytest.fixture(scope="session")
def before(service: Served, clip: bytes) -> Held:
    """What the service holds once it has read good clips."""
    return warmed(service, clip)
