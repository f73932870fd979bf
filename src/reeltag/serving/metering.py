"""What happens in; Prometheus's text, and latencies for the dashboard, out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from time import time

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.3, 2.6, 5.0, 10.0, 30.0)
_RECENT = 4096
"""Answers of which latencies are kept for the dashboard."""


class Meter:
    """Counts of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "reeltag_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "reeltag_request_seconds",
            "Time until an answer began.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "reeltag_stage_seconds",
            "Time a recommendation took, by stage.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "reeltag_refusals", "Requests refused, by kind.", ["kind"], registry=registry
        )
        self._clips = Counter(
            "reeltag_decode_failures", "Clips that could not be read.", registry=registry
        )
        self._queues = Gauge("reeltag_queue_depth", "Requests held.", ["queue"], registry=registry)
        self._accepted = Gauge(
            "reeltag_acceptance",
            "Share of a day's published recommendations of which one of the first k was used.",
            ["k"],
            registry=registry,
        )
        self._recent: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=_RECENT)
        self._lock = Lock()

    def watch(self, queue: str, depth: Callable[[], int]) -> None:
        """Tell a queue's depth whenever asked."""
        self._queues.labels(queue).set_function(depth)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is the template, never the address itself."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refusal(self, kind: str) -> None:
        """A request was refused."""
        self._refused.labels(kind).inc()
        if kind == "clip":
            self._clips.inc()

    def answer(self, timing_ms: Mapping[str, float]) -> None:
        """A recommendation was made."""
        for stage, spent in timing_ms.items():
            self._stages.labels(stage).observe(spent / 1000)
        with self._lock:
            self._recent.append((time(), dict(timing_ms)))

    def accepted(self, shares: Mapping[int, float | None]) -> None:
        """What the store says of acceptance at k."""
        for k, share in shares.items():
            self._accepted.labels(str(k)).set(float("nan") if share is None else share)

    def latencies(self, since: float) -> dict[str, dict[str, float]]:
        """Quantiles (ms) of each stage of the recent answers made since a time."""
        with self._lock:
            recent = [timing for at, timing in self._recent if at >= since]
        stages = dict.fromkeys(name for timing in recent for name in timing)
        told = {}
        for stage in stages:
            spent = np.array([timing[stage] for timing in recent if stage in timing])
            quantiles = np.quantile(spent, (0.5, 0.95, 0.99)).round(3).tolist()
            told[stage] = dict(zip(("p50", "p95", "p99"), quantiles, strict=True))
        return told

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)
