"""GCN-PHR at the paper's sizes, on random data of the right shape: time and memory.

Run alone: `python -m benchmarks gcn_phr`. The fast path is the model itself with
`neighbours=24, neighbour_posts=8, projections=8, half_features=true`, features memory-mapped
in float16.
How the time grows is `benchmarks.scaling`'s.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import figure
from benchmarks.papersize import YFCC100M, feature_file, training_set
from reeltag.data.batches import PostBatch
from reeltag.data.corpus import TrainingSet
from reeltag.data.negatives import NegativeSampler
from reeltag.evaluation.protocols import SAMPLED_BLOCK, SAMPLED_NEGATIVES
from reeltag.models.contract import Sizes, Trained
from reeltag.models.gcn_phr import GcnPhr
from reeltag.models.layers.top import top_k
from reeltag.models.registry import build
from reeltag.runtime import generator_of, peak_rss_mb, set_threads
from reeltag.training.config import TrainingConfig
from reeltag.training.loop import batches_of, examples_of, optimiser_of

Figures = dict[str, dict[str, Any]]
FAST: dict[str, Any] = {
    "neighbours": 24,
    "neighbour_posts": 8,
    "projections": 8,
    "half_features": True,
}
BATCH = 1024
_POSTS = 4096


def main() -> Figures:
    """Every figure; the peak of memory is read before anything but training was done."""
    set_threads()
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        path = feature_file(Path(folder) / "features.npy", YFCC100M)
        training = training_set(YFCC100M, path)
        seconds, prepare = epoch(training, FAST)
        figures["gcn_epoch"] = figure(
            seconds, "s", 75, f"846k triples, batch {BATCH}, preparation {prepare:.1f} s", "below"
        )
        figures["gcn_peak_memory"] = figure(peak_rss_mb(), "MiB", 2560, "whole process", "below")
        figures |= _account(training, seconds)
        figures |= _scoring(training)
        figures |= _pyg(training, seconds)
    return figures


def epoch(
    training: TrainingSet, settings: dict[str, Any], steps: int | None = None, batch: int = BATCH
) -> tuple[float, float]:
    """Seconds of an epoch (of `steps` steps, projected to a whole one) and of preparing."""
    torch.manual_seed(0)
    model = build("gcn-phr", settings, Sizes.of(training))
    assert isinstance(model, Trained)
    start = time.perf_counter()
    model.fit(training)
    prepare = time.perf_counter() - start
    config = TrainingConfig(batch_size=batch)
    optimiser, examples = optimiser_of(model, config), examples_of(model, training)
    whole = -(-len(examples.posts) // batch)
    count = min(steps or whole, whole)
    batches = batches_of(examples, training, config, 1, features=False)
    start = time.perf_counter()
    for step in range(1, count + 1):
        optimiser.zero_grad(set_to_none=True)
        model.loss(next(batches)).backward()
        model.after_backward(last=step == count)
        optimiser.step()
    return (time.perf_counter() - start) * whole / count, prepare


def _account(training: TrainingSet, fast: float) -> Figures:
    """What each part of the fast path buys: the epoch without it (projected from few steps)."""
    without = {
        "sampled_neighbours": ({**FAST, "neighbours": None}, 10),
        "delayed_products": ({**FAST, "projections": None}, 6),
        "half_features": ({**FAST, "half_features": False}, 100),
    }
    figures = {}
    for name, (settings, steps) in without.items():
        seconds, _ = epoch(training, settings, steps)
        figures[f"gcn_epoch_without_{name}"] = figure(
            seconds, "s", None, f"{seconds / fast:.1f} times the fast path", "below"
        )
    return figures


def _scoring(training: TrainingSet) -> Figures:
    """Posts a second: drawn negatives, the whole catalogue, and a plain factorised model."""
    model = build("gcn-phr", {}, Sizes(8126, 23054, training.manifests)).eval()
    assert isinstance(model, GcnPhr)
    for name in ("user_vectors", "hashtag_vectors"):
        getattr(model, name).normal_()
    posts = training.batch(torch.arange(_POSTS))
    # Test posts stand user by user, as a split leaves them: 1.7 a user.
    posts = replace(posts, users=torch.sort(torch.randint(2450, (_POSTS,))).values)
    sampler = NegativeSampler(training.posts.hashtags, 23054)
    drawn = SAMPLED_NEGATIVES["sampled"]

    def sampled(start: int, end: int) -> None:
        candidates = sampler.draw_distinct(
            torch.arange(start, end), drawn, generator_of("bench", start)
        )
        top_k(model.score_pairs(model.encode(_part(posts, start, end)), candidates), 10)

    def full(start: int, end: int) -> None:
        top_k(model.score_all(model.encode(_part(posts, start, end))), 10)

    queries, vectors = torch.randn(_POSTS, 64), torch.randn(23054, 64)

    def factorised(start: int, end: int) -> None:
        top_k(queries[start:end] @ vectors.T, 10)

    return {
        "gcn_posts_per_second_sampled": _rate(sampled, SAMPLED_BLOCK, 12_000, "1,000 negatives"),
        "gcn_posts_per_second_full": _rate(full, 512, 2_500, "top 10 of 23,054"),
        "factorised_posts_per_second": _rate(factorised, 512, 10_000, "top 10 of 23,054"),
        "gcn_elementwise_limit": _limit(),
    }


def _rate(work: Any, block: int, target: float, note: str) -> dict[str, Any]:
    with torch.no_grad():
        work(0, block)
        start = time.perf_counter()
        for at in range(0, _POSTS, block):
            work(at, at + block)
        rate = _POSTS / (time.perf_counter() - start)
    return figure(rate, "posts/s", target, note, "above")


def _limit() -> dict[str, Any]:
    """Posts a second if the elementwise part by torch, in cache, were all there is."""
    block, against = torch.randn(8192, 64), torch.randn(64)
    out = torch.empty_like(block)
    start = time.perf_counter()
    for _ in range(300):
        torch.nn.functional.leaky_relu_(torch.add(block, against, out=out))
    a_user = (time.perf_counter() - start) / 300 * 23054 / 8192
    note = "torch's elementwise part alone, grouped, 1.67 posts a user"
    return figure(1.67 / a_user, "posts/s", None, note, "above")


def _part(posts: PostBatch, start: int, end: int) -> PostBatch:
    rows = torch.arange(start, end)
    return PostBatch(
        posts.users[rows],
        {name: values[rows] for name, values in posts.vectors.items()},
        {name: there[rows] for name, there in posts.present.items()},
        posts.own[rows],
        posts.times[rows],
        posts.words.select(rows),
        posts.fields[rows],
    )


def _pyg(training: TrainingSet, fast: float) -> Figures:
    """A straightforward full-graph step with PyTorch Geometric, projected to an epoch."""
    from benchmarks.pyg_reference import FullGraph

    torch.manual_seed(0)
    posts, tags = training.triples
    users = training.posts.users[posts]
    everything = training.batch(torch.arange(len(training.posts)))
    features = torch.cat(list(everything.vectors.values()), 1)
    del everything
    model = FullGraph(len(training.users), len(training.hashtags), features, 64)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    times = []
    for step in range(3):
        index = torch.randint(len(posts), (BATCH,), generator=generator_of("pyg", step))
        negatives = torch.randint(len(training.hashtags), (BATCH,))
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        batch = (users[index], posts[index], tags[index], negatives)
        model.loss((users, tags, posts), batch).backward()
        optimiser.step()
        times.append(time.perf_counter() - start)
    seconds = min(times) * -(-len(posts) // BATCH)
    return {
        "pyg_full_graph_step": figure(min(times), "s", None, "best of 3", "below"),
        "pyg_full_graph_epoch": figure(
            seconds, "s", None, f"{seconds / fast:.0f} times the fast path's", "below"
        ),
    }
