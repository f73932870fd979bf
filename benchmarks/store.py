"""The service's store on SQLite: posts that are on the disk, from eight threads and from one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.measure import figure
from reeltag.serving.store import Published, Shown, Store

POSTS, THREADS = 1_600, 8


def main() -> dict[str, dict[str, Any]]:
    """Posts and recommendations saved a second, posts read a second (as a replay does), keys."""
    values = {"textual-minilm": np.zeros(384, np.float32), "visual": np.zeros(1280, np.float32)}

    def post(name: str) -> Published:
        tags = ["sea", "city", "food"]
        return Published("acme", name, name[-1], 0, "a day at the sea", tags, values)

    def shown(name: str) -> Shown:
        tags = [(f"hashtag{n}", 1 / (n + 1)) for n in range(10)]
        return Shown(name, "acme", name[-1], 0, tags, "run", values, "a day at the sea")

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/store.sqlite")
        many = _rate(lambda n: store.save_post(post(f"p{n}")), POSTS, THREADS)
        one = _rate(lambda n: store.save_post(post(f"q{n}")), POSTS // THREADS, 1)
        kept = _rate(lambda n: store.save_recommendation(shown(f"r{n}")), POSTS, THREADS)
        plain = store.add_key("acme", {"read"})
        keys = _rate(lambda _: store.key(plain), POSTS, 1)
        start = time.perf_counter()
        read = sum(1 for _ in store.posts())
        replay = read / (time.perf_counter() - start)
        store.close()
    note = "each flushed to the disk before it is acknowledged"
    return {
        "store_posts_from_8_threads": figure(many, "posts/s", 200, note, "above"),
        "store_posts_from_1_thread": figure(one, "posts/s", None, note, "above"),
        "store_recommendations_from_8_threads": figure(kept, "a second", 300, "", "above"),
        "store_posts_read": figure(replay, "posts/s", None, "with features", "above"),
        "store_keys_looked_up": figure(keys, "a second", None, "", "above"),
    }


def _rate(work: Callable[[int], object], count: int, threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(work, range(count)))
        return count / (time.perf_counter() - start)
