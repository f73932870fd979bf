"""Names in, what runs clips or blocks of posts out: processes of this machine, or Ray."""

from __future__ import annotations

from reeltag.errors import ConfigError
from reeltag.features.pool import ClipPool, ProcessPool, StartExecutor, StartPool
from reeltag.scale.ray_pool import RayClips, RayPool

_CLIPS: dict[str, StartExecutor] = {"local": ClipPool, "ray": RayClips}
_POOLS: dict[str, StartPool] = {"local": ProcessPool, "ray": RayPool}
EXECUTORS = tuple(_POOLS)
"""Their names."""


def clips_on(executor: str) -> StartExecutor:
    """What reads clips. Raises `ConfigError` for an unknown name."""
    return _CLIPS[_known(executor)]


def pool_on(executor: str) -> StartPool:
    """What does any other work. Raises `ConfigError` for an unknown name."""
    return _POOLS[_known(executor)]


def _known(executor: str) -> str:
    if executor not in EXECUTORS:
        raise ConfigError(f"Got --executor {executor!r}, expected one of {', '.join(EXECUTORS)}.")
    return executor
