"""Time and memory of each step from import to ranking, on ever more generated posts.

    python -m benchmarks.larger [--posts N ...] [--folder DIR] [--limit MIB] [--steps NAME,...]

Each step runs in a process of its own, on one thread, that may have `--limit` MiB of memory of its
own (RLIMIT_DATA: what it asked for, touched or not) and ends with an error where that is too
little. Measured are seconds, seconds of CPU, and by a thread that looks every 20 ms the largest
memory of its own (RssAnon + RssShmem) and the largest in all, with the pages of mapped files,
which the system takes back as it needs.

Steps: import (Parquet, then the feature), split (by user, and by time), graph (corpus and graph of
the training posts), train (`reeltag train --model gcn-phr`, one epoch) and rank (test posts against
all hashtags).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import figure
from benchmarks.zipf_posts import WIDTH, Size, generate

LIMIT = 8192
"""MiB a step may have of its own."""
SMALL = (20_000, 100_000)
"""Posts of `python -m benchmarks`."""
SETTINGS: dict[str, Any] = {
    "epochs": 1,
    "dim": 32,
    "batch_size": 65_536,
    "neighbours": 4,
    "neighbour_posts": 1,
    "judged": 2_000,
    "reasons": False,
}
"""Of GCN-PHR. A step moves every user's and hashtag's vector (Adam is dense), so that steps are
few and large; four neighbours with a post each are sampled for a node."""
RANKED = 2_048
"""Test posts that are ranked, in blocks, against every hashtag."""

ONE_THREAD = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
ALLOCATORS = {
    "_RJEM_MALLOC_CONF": "retain:false",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
}
"""Polars' keeps addresses it no longer uses, and the limit would count them. The C library's gives
every large tensor back to the system, whose handing it out anew is a third of a large step."""

Measured = dict[str, float]


def _import(folder: Path) -> dict[str, Any]:
    from reeltag.data.feature import Feature, Manifest
    from reeltag.data.importers import import_posts

    report = import_posts(folder / "posts.parquet", folder / "dataset")
    values = np.load(folder / "values.npy", mmap_mode="r")
    manifest = Manifest(
        "visual-random", "visual", "random", "vector", (WIDTH,), "float32", "columns"
    )
    report.dataset.add_feature(Feature(manifest, values, np.ones(len(values), dtype=bool)))
    return {name: report.dataset.counts[name] for name in ("users", "hashtags", "uses")}


def _split(folder: Path) -> dict[str, Any]:
    from reeltag.data.dataset import Dataset
    from reeltag.data.splits import SplitRecipe, make_split

    dataset = Dataset.open(folder / "dataset")
    made = {by: make_split(dataset, by, SplitRecipe(by)) for by in ("user", "time")}
    return {by: len(split.rows("train")) for by, split in made.items()}


def _graph(folder: Path) -> dict[str, Any]:
    from reeltag.data.corpus import open_corpus
    from reeltag.data.dataset import Dataset
    from reeltag.graph import TagGraph

    training = open_corpus(Dataset.open(folder / "dataset"), "user").training
    graph = TagGraph.build(training)
    return {"pairs": len(graph.users.pairs.values), "uses": len(graph.users.posts.values)}


def _train(folder: Path) -> dict[str, Any]:
    from reeltag.data.dataset import Dataset
    from reeltag.experiments.train import train_run

    shutil.rmtree(folder / "run", ignore_errors=True)
    dataset = Dataset.open(folder / "dataset")
    told = train_run(dataset, "user", "gcn-phr", SETTINGS, folder / "run", device="cpu")
    return {"fit_seconds": told["results"]["seconds"], "judged": told["results"]["posts"]}


def _rank(folder: Path) -> dict[str, Any]:
    import torch

    from reeltag.data.dataset import Dataset
    from reeltag.evaluation.protocols import judge
    from reeltag.experiments.judge import corpus_of
    from reeltag.training.run import load_run

    run = load_run(folder / "run", "cpu")
    corpus = corpus_of(run, Dataset.open(folder / "dataset"))
    test = corpus.part("test")
    step = max(1, len(test) // RANKED)
    some = test.select(torch.arange(0, len(test), step)[:RANKED])
    start = time.perf_counter()
    judged = judge(run.model, corpus, some)
    seconds = time.perf_counter() - start
    return {"ranked": len(judged.posts), "ms_a_post": 1e3 * seconds / len(judged.posts)}


STEPS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "import": _import,
    "split": _split,
    "graph": _graph,
    "train": _train,
    "rank": _rank,
}


def main(
    sizes: tuple[int, ...] = SMALL, folder: Path | None = None, limit: int = LIMIT
) -> dict[str, dict[str, Any]]:
    """Figures of every step at each number of posts; `folder` keeps what was made."""
    figures: dict[str, dict[str, Any]] = {}
    for posts in sizes:
        with tempfile.TemporaryDirectory(prefix="reeltag-larger-", dir=folder) as name:
            for step, found in measure(posts, Path(name), tuple(STEPS), limit).items():
                note = f"CPU {found['cpu']:.1f} s, {found['rss']:.0f} MiB with mapped pages"
                where = f"{step}_of_{posts}_posts"
                figures[where] = figure(found["seconds"], "s", None, note, digits=1)
                figures[f"{where}_memory"] = figure(found["own"], "MiB", limit, note, digits=0)
    return figures


def measure(
    posts: int, folder: Path, steps: tuple[str, ...], limit: int = LIMIT
) -> dict[str, Measured]:
    """Run `steps` on `posts` generated posts in `folder`; those there already are used again.

    Raises `RuntimeError` where one needs more than `limit` MiB or fails otherwise.
    """
    if not (folder / "posts.parquet").is_file():
        _child(folder, "--generate", str(posts))
    found = {}
    for step in steps:
        found[step] = json.loads(_child(folder, "--step", step, "--limit", str(limit)))
        print(json.dumps({"posts": posts, "step": step, **found[step]}), file=sys.stderr)
    return found


def _child(folder: Path, *arguments: str) -> str:
    """What a new process prints last: its memory is its own, and so is its core."""
    command = [sys.executable, "-m", "benchmarks.larger", "--folder", str(folder), *arguments]
    environment = {**os.environ, **ONE_THREAD, **ALLOCATORS, "TMPDIR": str(folder)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}.")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def run_step(name: str, folder: Path, limit: int) -> dict[str, Any]:
    """One step here: seconds, cpu (seconds), own and rss (MiB), and what it says itself."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit << 20, limit << 20))
    from reeltag.runtime import set_threads

    set_threads(1)
    ended, peaks = threading.Event(), {"own": 0, "rss": 0}
    watching = threading.Thread(target=_watch, args=(ended, peaks))
    watching.start()
    start, before = time.perf_counter(), time.process_time()
    try:
        told = STEPS[name](folder)
    finally:
        seconds, cpu = time.perf_counter() - start, time.process_time() - before
        ended.set()
        watching.join()
    return {"seconds": seconds, "cpu": cpu, **{k: v / 1024 for k, v in peaks.items()}, **told}


def _watch(ended: threading.Event, peaks: dict[str, int]) -> None:
    """Keep the largest memory of this process in `peaks`, in KiB."""
    while not ended.wait(0.02):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        told = dict(line.split(":", 1) for line in lines if line.startswith(("Rss", "VmRSS")))
        now = {name: int(value.split()[0]) for name, value in told.items()}
        peaks["own"] = max(peaks["own"], now["RssAnon"] + now["RssShmem"])
        peaks["rss"] = max(peaks["rss"], now["VmRSS"])


def command() -> None:
    """Read the arguments; print a row of Markdown for each step, or be one step."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.larger")
    parser.add_argument("--posts", type=int, nargs="+", default=[100_000])
    parser.add_argument("--folder", type=Path, help="kept, and used again if there")
    parser.add_argument("--limit", type=int, default=LIMIT, help="MiB of a step's own")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.generate:
        generate(given.folder, Size(given.generate))
        return
    if given.step:
        print(json.dumps(run_step(given.step, given.folder, given.limit)))
        return
    print("| posts | step | s | CPU s | own MiB | with mapped pages, MiB |")
    print("|---|---|---|---|---|---|")
    for posts in given.posts:
        folder = given.folder or Path(tempfile.mkdtemp(prefix="reeltag-larger-"))
        try:
            place = folder / str(posts)
            place.mkdir(exist_ok=True, parents=True)
            found = measure(posts, place, tuple(given.steps.split(",")), given.limit)
        finally:
            if given.folder is None:
                shutil.rmtree(folder)
        for step, one in found.items():
            times = f"{one['seconds']:.1f} | {one['cpu']:.1f}"
            print(f"| {posts:,} | {step} | {times} | {one['own']:.0f} | {one['rss']:.0f} |")


if __name__ == "__main__":
    command()
