"""The one place that decides threads, devices and randomness for a process.

torch is imported late: what only touches data (import, info, split) starts without it.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from typing import TYPE_CHECKING

from reeltag.errors import ConfigError

if TYPE_CHECKING:
    import torch


def set_threads(threads: int | None = None) -> int:
    """Set torch's and numba's threads once for this process and return the count.

    Default: every core this process may use, shared with those that torchrun started beside it.
    numba counts them when it is first imported, and hands torch its number when it first runs.
    """
    import torch

    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    count = threads or max(1, len(os.sched_getaffinity(0)) // beside)
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)
    return count


def device_of(name: str = "auto") -> torch.device:
    """The torch device named `name`: auto, cpu, cuda, cuda:1, mps ...

    Raises `ConfigError` when the device is not usable here.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as fault:
        raise ConfigError(
            f"Got device {name!r}, which is not usable here ({str(fault).splitlines()[0]}). "
            "Expected auto, cpu, cuda, cuda:N or mps."
        ) from fault
    return device


def seed_of(*parts: int | str) -> int:
    """A 63-bit seed that is a pure function of `parts` (seed, epoch, step, purpose)."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator_of(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator whose stream is a pure function of `parts`."""
    import torch

    return torch.Generator(device=device).manual_seed(seed_of(*parts))


def peak_rss_mb() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
