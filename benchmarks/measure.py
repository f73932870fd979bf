"""Values and calls in; rows of the figures' table and times out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch


def figure(
    value: float,
    unit: str,
    target: float | None,
    note: str,
    want: Literal["below", "above"] = "below",
    digits: int = 2,
) -> dict[str, Any]:
    """One row of the table; `want` says on which side of the target is good."""
    target = None if target is None else round(float(target), 4)
    ok = target is None or (value <= target if want == "below" else value >= target)
    shown = round(float(value), digits)
    return {"value": shown, "unit": unit, "target": target, "ok": bool(ok), "note": note}


def median_ms(work: Callable[[], object], times: int = 15) -> float:
    """Median milliseconds of one call."""
    return float(np.median(_times(work, times)))


def p99_ms(work: Callable[[], object], times: int = 300) -> float:
    """99th percentile of the milliseconds of one call."""
    return float(np.percentile(_times(work, times), 99))


def _times(work: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each call after a first one; what a device does is waited for."""
    found = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(1e3 * (time.perf_counter() - start))
    return found[1:]
