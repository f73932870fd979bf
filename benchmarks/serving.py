"""The service and its engine alone: requests a second, their latency, start, memory, clips.

The run is that of `benchmarks.house`: the house model, 22,277 hashtags. Eight callers, each a
thread that asks again as soon as it is answered, have the features of a post ready. The machine
may be busy with other things: the processor's time of a request says what it costs by itself.
Then `reeltag serve` is asked over HTTP, and for a clip, by a run of the demo's clips.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.house import _dataset
from benchmarks.http_service import CALLERS, clips, ready_features
from benchmarks.measure import figure
from reeltag.data.dataset import Dataset
from reeltag.data.importers import import_posts
from reeltag.data.splits import SplitRecipe, make_split, open_split
from reeltag.demo.clips import make_clips
from reeltag.experiments.train import train_run
from reeltag.features.job import extract
from reeltag.runtime import peak_rss_mb, set_threads
from reeltag.serving.engine import Engine
from reeltag.serving.records import Asked, Published

REQUESTS, EXPLAINED, STORED, CLIPS = 1600, 160, 1000, 60


class Posts:
    """A store in memory."""

    def __init__(self, kept: list[Published]) -> None:
        self.kept = kept

    def posts(self, after: int = 0, tenant: str | None = None) -> Iterator[tuple[int, Published]]:
        """Those with larger numbers."""
        yield from enumerate(self.kept[after:], start=after + 1)

    def tombstone(self, tenant: str, user: str) -> bytes:
        """Of nobody."""
        return b""

    def erased_hashes(self) -> frozenset[bytes]:
        """Nobody's."""
        return frozenset()


def main() -> dict[str, dict[str, Any]]:
    """Train the run, then ask."""
    set_threads()
    with tempfile.TemporaryDirectory() as folder:
        dataset = _dataset(Path(folder) / "data")
        train_run(dataset, "main", "reeltag", {}, Path(folder) / "run")
        train_run(_filmed(Path(folder)), "main", "reeltag", {}, Path(folder) / "filmed")
        return {
            **served(dataset, Path(folder) / "run"),
            **over_http(dataset, Path(folder) / "run"),
            **clips(Path(folder) / "filmed", Path(folder)),
        }


def served(dataset: Dataset, run: Path) -> dict[str, dict[str, Any]]:
    """The figures of a run of `dataset`."""
    asked = _asked(dataset, REQUESTS)
    engine, started = _started(run, [_published(n, a) for n, a in enumerate(asked[:STORED])])
    found = _load(engine, asked)
    explained = _load(engine, [replace(a, explain=True) for a in asked[:EXPLAINED]])
    shown = _observed(engine, [_published(STORED + n, a) for n, a in enumerate(asked[:50])])
    engine.stop()
    return {
        "serving_requests_per_second": figure(
            found["rate"],
            "requests/s",
            300,
            f"{CALLERS} callers, ready features, no reasons; {found['cpu']:.1f} ms of processor "
            f"time each, p50 {found['p50']:.0f} ms",
            want="above",
        ),
        "serving_p99": figure(found["p99"], "ms", 40, "the same"),
        "serving_explained_p50": figure(
            explained["p50"],
            "ms",
            None,
            f"with reasons for ten hashtags; {explained['cpu']:.1f} ms of processor time each, "
            f"{explained['rate']:.0f} requests/s",
        ),
        "serving_observe": figure(shown, "ms", None, "a post until the next answer knows it; p50"),
        "serving_start": figure(
            started["seconds"],
            "s",
            8,
            f"to ready, {STORED:,} posts of the store observed; {started['cpu']:.1f} s of "
            "processor time",
        ),
        "serving_peak_memory": figure(peak_rss_mb(), "MiB", None, "training and an engine"),
    }


def over_http(dataset: Dataset, run: Path) -> dict[str, dict[str, Any]]:
    """The figures of a run of `dataset`, served by a process of its own."""
    asked = _asked(dataset, REQUESTS)
    plain = [_body(each, explain=False) for each in asked]
    explained = [_body(each, explain=True) for each in asked[:EXPLAINED]]
    published = [_body(each, post=f"http{n}", hashtags=["tag1"]) for n, each in enumerate(asked)]
    return ready_features(run, plain, explained, published)


def _body(asked: Asked, **more: Any) -> bytes:
    values = {
        name: [float(str(number)) for number in value]
        for name, value in (asked.values or {}).items()
        if value is not None
    }
    said = {"user": asked.user, "caption": asked.caption, "values": values, "at": asked.at}
    return json.dumps({**said, **more}).encode()


def _filmed(folder: Path) -> Dataset:
    """Some of the demo's clips, with the features of the default extractors."""
    make_clips(folder / "clips", CLIPS)
    dataset = import_posts(folder / "clips", folder / "clipped", format="folder").dataset
    extract(dataset, visual=["efficientnet-lite1"], acoustic=["logmel"], textual=["minilm"])
    make_split(dataset, "main", SplitRecipe())
    return Dataset.open(folder / "clipped")


def _asked(dataset: Dataset, count: int) -> list[Asked]:
    """Posts of the test part, as somebody asks about them."""
    rows = np.flatnonzero((open_split(dataset, "main").parts == "test").to_numpy())
    rows = np.resize(rows, count)
    (name,) = dataset.features
    vectors = dataset.feature(name).rows(rows)
    posts = dataset.posts[rows]
    return [
        Asked(user=user, caption=caption, values={name: vector}, at=1_800_000_000, explain=False)
        for user, caption, vector in zip(posts["user"], posts["caption"], vectors, strict=True)
    ]


def _published(number: int, asked: Asked) -> Published:
    tags = [f"tag{number % 7}", "published"]
    return Published(
        "default",
        f"new{number}",
        asked.user,
        1_800_000_000 + number,
        asked.caption or "",
        tags,
        asked.values,
    )


def _started(run: Path, kept: list[Published]) -> tuple[Engine, dict[str, float]]:
    wall, cpu = time.perf_counter(), time.process_time()
    engine = Engine(run, Posts(kept))
    engine.start().result()
    return engine, {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _load(engine: Engine, asked: list[Asked]) -> dict[str, float]:
    """Requests a second, and milliseconds of one: p50, p99, and of the processor."""

    def call(part: list[Asked]) -> list[float]:
        taken = []
        for one in part:
            start = time.perf_counter()
            engine.recommend(one).result()
            taken.append(1e3 * (time.perf_counter() - start))
        return taken

    call(asked[:8])
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(CALLERS) as callers:
        taken = [ms for each in callers.map(call, _shared(asked)) for ms in each]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "rate": len(taken) / wall,
        "p50": float(np.percentile(taken, 50)),
        "p99": float(np.percentile(taken, 99)),
        "cpu": 1e3 * cpu / len(taken),
    }


def _shared(asked: list[Asked]) -> list[list[Asked]]:
    return [asked[caller::CALLERS] for caller in range(CALLERS)]


def _observed(engine: Engine, posts: list[Published]) -> float:
    """Milliseconds until a post is known."""
    kept, taken = engine._store, []
    assert isinstance(kept, Posts)
    for post in posts:
        kept.kept.append(post)
        start = time.perf_counter()
        engine.observe(len(kept.kept), post).result()
        taken.append(1e3 * (time.perf_counter() - start))
    return float(np.median(taken))
