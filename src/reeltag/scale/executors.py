"""Names in, what runs clips or blocks of posts out: processes of this machine, or Ray."""

from __future__ import annotations

from reeltag.errors import ConfigError
from reeltag.features.pool import ProcessPool, StartPool
from reeltag.scale.ray_pool import RayPool

EXECUTORS: dict[str, StartPool] = {"local": ProcessPool, "ray": RayPool}


def pool_on(executor: str) -> StartPool:
    """The pool of that name. Raises `ConfigError` for an unknown one."""
    if executor not in EXECUTORS:
        raise ConfigError(f"Got --executor {executor!r}, expected one of {', '.join(EXECUTORS)}.")
    return EXECUTORS[executor]
