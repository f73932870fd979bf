"""A folder in; the world of regions in it, and what attention is worth there, out.

clips/     mp4 files (generated)
dataset/   their posts and users, projected regions and the split `main`

Trained are UHMAN and its two ablations, some seeds each; none of them is kept.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature
from reeltag.data.splits import Split, SplitRecipe, make_split
from reeltag.demo.region_clips import make_region_clips
from reeltag.demo.regions import RegionPost, plan_region_posts
from reeltag.evaluation.evaluate import evaluate
from reeltag.evaluation.significance import Values, compare_pairs, paired_t
from reeltag.experiments.train import fit, prepare
from reeltag.features.job import extract
from reeltag.progress import console, track

MODELS = ("uhman", "uhman-a", "uhman-b")
METRICS = ("recall@1", "recall@5", "mrr")
JUDGED_BY = "recall@1"
"""What is tested: a post has one right hashtag among 16, at times chatter; ten are no choice."""
POSTS = 700
SEEDS = 5
EXTRACTOR = "efficientnet-lite1-regions:fps=1,frames=2,project=128"
"""A frame a moment, and regions narrow enough to train 15 times in a minute."""
SETTINGS: dict[str, Any] = {
    # Few posts: the loss of the paper's listing against nearly all hashtags, and Adam; WARP
    # with few negatives needs many times the steps before attention finds anything. Chosen on
    # worlds of other seeds than the demo's.
    "loss": "margin", "margin": 0.3, "negatives": 12, "heads": 8, "optimiser": "adam",
    "learning_rate": 2e-3, "plateau": None, "batch_size": 32, "epochs": 30, "patience": 30,
    "select": "mrr",
}  # fmt: skip

_Job = tuple[Path, str, dict[str, Any]]
"""Dataset, model, settings."""


@dataclass(frozen=True)
class Contrast:
    """How much better UHMAN is than one ablation by `JUDGED_BY`, with two-sided p values."""

    than: str
    difference: float
    p_seeds: float
    """Paired t test over seeds."""
    p_posts: float
    """Paired t test over test posts, each its mean over seeds; corrected by Holm."""


@dataclass(frozen=True)
class RegionsReport:
    """What the models make of the world of regions: metrics[model][name] is a value a seed."""

    posts: int
    users: int
    judged: int
    """Test posts."""
    metrics: dict[str, dict[str, list[float]]]
    contrasts: list[Contrast]

    def mean(self, model: str, metric: str) -> float:
        """Mean over seeds."""
        return float(np.mean(self.metrics[model][metric]))

    def deviation(self, model: str, metric: str) -> float:
        """Sample standard deviation over seeds; 0 for a single one."""
        values = self.metrics[model][metric]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def contrast(self, model: str) -> Contrast | None:
        """UHMAN against `model`, None for UHMAN itself."""
        return next((c for c in self.contrasts if c.than == model), None)

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "posts": self.posts,
            "users": self.users,
            "test_posts": self.judged,
            "models": {
                model: {
                    name: {
                        "mean": self.mean(model, name),
                        "deviation": self.deviation(model, name),
                        "seeds": values,
                    }
                    for name, values in metrics.items()
                }
                for model, metrics in self.metrics.items()
            },
            "tested": JUDGED_BY,
            "uhman_against": {
                c.than: {
                    "difference": c.difference,
                    "p_over_seeds": c.p_seeds,
                    "p_over_posts": c.p_posts,
                }
                for c in self.contrasts
            },
        }


def region_dataset(
    path: Path, posts: Sequence[RegionPost], features: Sequence[Feature] = (), clips: str = ""
) -> Dataset:
    """Write the posts as a dataset with what is known of its users, and its split `main`.

    Args:
        features: one entry a post, where there are any already.
        clips: folder of the clips.
    """
    table = pl.DataFrame(
        {
            "post": [post.id for post in posts],
            "user": [post.user for post in posts],
            "time": [post.time.replace(tzinfo=None) for post in posts],
            "hashtags": [list(post.hashtags) for post in posts],
            "clip": [f"{post.id}.mp4" for post in posts],
        }
    )
    known = {post.user: (post.user, post.team, post.likes) for post in posts}
    users = pl.DataFrame(list(known.values()), ["user", "team", "likes"], orient="row")
    source = {"format": "generated", "clip_root": clips}
    made = Dataset.create(path, table, source=source, features=features, users=users, replace=True)
    region_split(made)
    return made


def region_split(dataset: Dataset) -> Split:
    """The split `main`: at random, since users with three posts cannot be divided each."""
    return make_split(dataset, "main", SplitRecipe(by="random", ratio=(7, 1, 2)))


def run_regions(
    folder: Path, posts: int = POSTS, seed: int = 0, seeds: int = SEEDS
) -> RegionsReport:
    """Make the world in `folder`, then train and judge. Clips and features are used again."""
    make_region_clips(folder / "clips", posts, seed)
    planned = plan_region_posts(posts, seed)
    clips, fresh, target = (folder / name for name in ("clips", "dataset.new", "dataset"))
    made = region_dataset(fresh, planned, clips=str(clips.resolve()))
    if target.is_dir() and Dataset.open(target).description == made.description:
        shutil.rmtree(fresh)
    else:
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    dataset = Dataset.open(target)
    extract(dataset, visual=[EXTRACTOR])
    return judge_regions(dataset, seeds)


def judge_regions(
    dataset: Dataset,
    seeds: int = SEEDS,
    models: Sequence[str] = MODELS,
    workers: int | None = None,
    settings: Mapping[str, Any] = SETTINGS,
) -> RegionsReport:
    """Train `models` with so many seeds and compare UHMAN, the first, with the others.

    Each is trained by itself on one core: they are too small to share one among cores.
    """
    jobs = [
        (dataset.path, model, {**settings, "seed": seed})
        for seed in range(seeds)
        for model in models
    ]
    count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    results = []
    with track("training on regions", len(jobs)) as bar:
        for values in _each(jobs, count):
            results.append(values)
            bar.advance()
    by_model = {
        model: [values for job, values in zip(jobs, results, strict=True) if job[1] == model]
        for model in models
    }
    return RegionsReport(
        posts=dataset.counts["posts"],
        users=dataset.counts["users"],
        judged=len(results[0][JUDGED_BY]),
        metrics={
            model: {name: [float(v[name].mean()) for v in runs_of] for name in METRICS}
            for model, runs_of in by_model.items()
        },
        contrasts=_contrasts({m: [v[JUDGED_BY] for v in r] for m, r in by_model.items()}),
    )


def _each(jobs: list[_Job], count: int) -> Iterator[dict[str, Values]]:
    """What becomes of each job, in `count` processes."""
    if count == 1:
        yield from map(_train, jobs)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_hush) as pool:
        yield from pool.map(_train, jobs)


def _hush() -> None:
    """No bars of this process: the one that started it has its own."""
    console.quiet = True


def _contrasts(values: Mapping[str, Sequence[Values]]) -> list[Contrast]:
    """The first model against each other one; values of each seed, one a post."""
    first, *others = values
    over_seeds = {model: np.stack(list(each)).mean(0) for model, each in values.items()}
    means = {model: np.array([v.mean() for v in each]) for model, each in values.items()}
    tests = compare_pairs(over_seeds, [(first, other) for other in others])
    return [
        Contrast(test.second, test.difference, paired_t(means[first] - means[test.second]),
                 test.t_holm)
        for test in tests
    ]  # fmt: skip


def _train(job: _Job) -> dict[str, Values]:
    """Train one model and judge it: a value a test post of each metric."""
    import torch

    path, model, settings = job
    torch.set_num_threads(1)
    corpus, untrained = prepare(Dataset.open(path), "main", model, settings)
    with TemporaryDirectory() as folder:
        trained = fit(corpus, untrained, model, settings, Path(folder), device="cpu").model
    judged = evaluate(trained, corpus, "test", tops=(1, 5)).judged
    return {name: judged.values[name].double().numpy() for name in METRICS}
