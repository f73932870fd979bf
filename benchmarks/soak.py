"""The service under mixed traffic for minutes: whether it answers all of it, and whether it grows.

    python -m benchmarks.soak [--minutes 10]

It is no part of `make bench`. A small run is trained on generated clips and served by `reeltag
serve`; callers ask by caption and by clip, publish, look things up, send what is damaged, erase
users, and have the run loaded anew. What the server and its decoders hold in memory is measured
every second. It ends with 1 where an answer was wrong, or where they hold `MOST_GROWTH` more at the
end than once they were warm.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import numpy as np
import polars as pl

from benchmarks.__main__ import ROOT, show
from benchmarks.measure import figure
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.demo.clips import encode
from reeltag.demo.lexicon import TOPICS
from reeltag.demo.scenes import draw
from reeltag.demo.sounds import sound
from reeltag.experiments.train import train_run
from reeltag.features.job import extract

CALLERS, USERS, PAUSE = 4, 40, 0.02
WARM = 0.25
"""Share of the time until it counts as warm."""
MOST_GROWTH = 0.10
"""Share by which memory may grow from then on: medians of the tenth after it and of the last."""
RELOAD_SECONDS = 15.0
ACTIONS = {"caption": 50, "clip": 12, "damaged": 4, "publish": 22, "read": 9, "erase": 3}
"""How often each is done."""
FINE = {
    "caption": {200}, "clip": {200, 503}, "damaged": {200, 422, 503}, "publish": {201},
    "read": {200, 404}, "erase": {200}, "reload": {200},
}  # fmt: skip


def soak(minutes: float) -> dict[str, dict[str, Any]]:
    """The figures of a service that was asked for so long."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = _run(folder)
        command = [sys.executable, "-m", "reeltag", "serve", str(folder / "run"), "--port", "0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        try:
            assert server.stderr is not None
            found = (re.search(r"Ready: (\S+)", line) for line in server.stderr)
            traffic = Traffic(next(match[1] for match in found if match), clips, folder / "run")
            memory = traffic.last(60 * minutes, server.pid)
        finally:
            server.terminate()
            code = server.wait(timeout=60)
    return _figures(traffic, memory, code, minutes)


def _figures(
    traffic: Traffic, memory: list[float], code: int, minutes: float
) -> dict[str, dict[str, Any]]:
    warm, tenth = int(WARM * len(memory)), max(1, len(memory) // 10)
    before = float(np.median(memory[warm : warm + tenth]))
    after = float(np.median(memory[-tenth:]))
    done = sum(traffic.done.values())
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in traffic.done.most_common())
    told = f"{before:.0f} once warm; peak {max(memory):.0f}"
    wrong = "; ".join(traffic.wrong[:3]) or "all as they should be"
    return {
        "soak_answers": figure(done, "answers", None, f"in {minutes:g} min: {kinds}", digits=0),
        "soak_wrong": figure(len(traffic.wrong), "answers", 0, wrong, digits=0),
        "soak_memory": figure(after, "MiB", None, told),
        "soak_growth": figure(after / before - 1, "", MOST_GROWTH, "of memory, since", digits=3),
        "soak_exit": figure(code, "", 0, "exit code after SIGTERM", digits=0),
    }


class Traffic:
    """Callers of a service; what was `done`, by kind, and what was answered `wrong`."""

    def __init__(self, address: str, clips: list[bytes], run: Path) -> None:
        self.address, self.clips, self.run = address, clips, run
        self.done, self.wrong = Counter[str](), list[str]()
        self._ended = Event()

    def last(self, seconds: float, server: int) -> list[float]:
        """Ask for so long; the server's memory (MiB), with its decoders', second by second."""
        callers = [Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for caller in [*callers, Thread(target=self._reload)]:
            caller.start()
        until, memory = time.monotonic() + seconds, list[float]()
        while time.monotonic() < until:
            memory.append(sum(_rss_mb(pid) for pid in [server, *_children(server)]))
            time.sleep(1)
        self._ended.set()
        for caller in callers:
            caller.join()
        return memory

    def _call(self, number: int) -> None:
        dice = random.Random(number)
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not self._ended.wait(PAUSE):
                (kind,) = dice.choices(list(ACTIONS), list(ACTIONS.values()))
                self._heard(kind, lambda kind=kind: self._ask(client, kind, dice))

    def _reload(self) -> None:
        said = {"run": str(self.run)}
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not self._ended.wait(RELOAD_SECONDS):
                self._heard("reload", lambda: client.post("/v1/admin/reload", json=said))

    def _heard(self, kind: str, ask: Any) -> None:
        try:
            status, text = (answer := ask()).status_code, answer.text[:200]
        except httpx.HTTPError as fault:
            status, text = 0, repr(fault)
        self.done[kind] += 1
        if status not in FINE[kind]:
            self.wrong.append(f"{kind}: {status} {text}")

    def _ask(self, client: httpx.Client, kind: str, dice: random.Random) -> httpx.Response:
        user, topic = f"s{dice.randrange(USERS)}", dice.choice(list(TOPICS))
        if kind in ("clip", "damaged"):
            clip = bytearray(dice.choice(self.clips))
            for _ in range(dice.randrange(1, 200) if kind == "damaged" else 0):
                clip[dice.randrange(len(clip))] = dice.randrange(256)
            form = {"user": user, "caption": topic, "filmstrip": "true"}
            return client.post("/v1/recommend", files={"clip": bytes(clip)}, data=form)
        if kind == "publish":
            shown = client.post("/v1/recommend", json={"user": user, "caption": topic})
            said = {
                "recommendation_id": shown.json()["recommendation_id"],
                "user": user,
                "hashtags": [topic, f"by{user}"],
            }
            return client.post("/v1/posts", json=said)
        if kind == "read":
            path = dice.choice(["stats", "model", "hashtags?prefix=b", f"users/{user}"])
            return client.get(f"/v1/{path}")
        if kind == "erase":
            return client.delete(f"/v1/users/{user}")
        return client.post("/v1/recommend", json={"user": user, "caption": f"{topic} tonight"})


def _run(folder: Path) -> list[bytes]:
    """Train a run on posts with clips; the clips."""
    dice, clips = np.random.default_rng(0), []
    for topic in TOPICS:
        film, wave = draw(topic, dice, 24, 120, 160), sound(topic, dice, 2.0)
        clips.append(encode(film, wave))
        (folder / f"{topic}.mp4").write_bytes(clips[-1])
    topics = list(TOPICS) * 20
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(len(topics))],
            "user": [f"u{n % 9}" for n in range(len(topics))],
            "caption": [f"{topic} tonight" for topic in topics],
            "hashtags": [[topic, f"by{n % 9}"] for n, topic in enumerate(topics)],
            "clip": [str(folder / f"{topic}.mp4") for topic in topics],
        }
    )
    os.environ["REELTAG_CACHE"] = str(folder / "cache")
    dataset = Dataset.create(folder / "data", posts, source={"format": "generated"})
    extract(dataset, workers=1, acoustic=["logmel"], textual=["sif"])
    make_split(dataset, "main", SplitRecipe())
    settings = {"rounds": 5, "least_rows": 3, "candidates": 6}
    train_run(dataset, "main", "reeltag", settings, folder / "run")
    return clips


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _rss_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    figures = soak(parser.parse_args().minutes)
    show(figures)
    raise SystemExit(0 if all(row["ok"] for row in figures.values()) else 1)
