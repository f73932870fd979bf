"""An empty folder in; generated clips, every stop of the road and its results out.

clips/           mp4 files with sidecars (generated)
regions/         the world of regions (`reeltag.demo.region_run`): clips and dataset
dataset/         imported, with features and the split `main`
runs/<model>/    one run a model; that of `reeltag` is one to serve
filmstrip.png    test clips with what gcn-phr recommends for them
report.json      the table of models
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from reeltag.data.dataset import Dataset
from reeltag.data.importers import import_posts
from reeltag.data.splits import SplitRecipe, make_split, open_split
from reeltag.demo.clips import make_clips
from reeltag.demo.filmstrip import Chip, Panel, filmstrip
from reeltag.demo.region_run import POSTS, SEEDS, RegionsReport, run_regions
from reeltag.errors import InputError
from reeltag.evaluation.evaluate import Report
from reeltag.experiments.judge import evaluate_run
from reeltag.experiments.train import train_run
from reeltag.features.job import extract
from reeltag.progress import say
from reeltag.recommend import Answer, Recommender
from reeltag.storage import write_text

MODELS = ("popularity", "user-history", "content-knn", "gcn-phr", "reeltag")
SETTINGS: dict[str, dict[str, Any]] = {
    # Few posts: small batches, more negatives, no message from a post to itself; chosen on
    # the validation part, three seeds each.
    "gcn-phr": {"batch_size": 64, "negatives": 4, "mask_own_post": True},
}
PANELS = 6
REGION_SEED = 17
"""Of the world of regions: none of those on which its training settings were chosen."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Demo:
    """What the demo made; `as_json` is what `reeltag demo --json` prints."""

    folder: Path
    posts: int
    users: int
    hashtags: int
    reports: dict[str, Report]
    example: Answer
    filmstrip: Path
    regions: RegionsReport
    seconds: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """One JSON object; says that the data is generated."""
        return {
            "generated": True,
            "dir": str(self.folder),
            "posts": self.posts,
            "users": self.users,
            "hashtags": self.hashtags,
            "models": {name: report.as_json() for name, report in self.reports.items()},
            "example": self.example.as_json(),
            "filmstrip": str(self.filmstrip),
            "regions": self.regions.as_json(),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def run_demo(
    folder: Path,
    posts: int = 300,
    seed: int = 0,
    region_posts: int = POSTS,
    region_seeds: int = SEEDS,
) -> Demo:
    """Make clips and go the whole road on them: import, extract, split, train, judge, recommend.

    Then the same on the world of regions, whose models are trained with `region_seeds` seeds.
    Clips and features of an earlier demo in `folder` are used again; the rest is redone.
    Raises `InputError` where `folder` holds anything but an earlier demo.
    """
    known = {"clips", "dataset", "runs", "filmstrip.png", "regions", "report.json"}
    strangers = {p.name for p in folder.iterdir()} - known if folder.is_dir() else set()
    if strangers:
        raise InputError(
            f"{folder} holds {', '.join(sorted(strangers)[:3])}, which is not of a demo. "
            "Expected a new folder: reeltag demo --dir NEW"
        )
    seconds: dict[str, float] = {}

    def timed(what: str, work: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = work()
        seconds[what] = time.perf_counter() - start
        say(f"{what}: {seconds[what]:.1f} s")
        return result

    timed(f"make {posts} clips", lambda: make_clips(folder / "clips", posts, seed))
    dataset = timed("import", lambda: _dataset(folder))
    timed("extract", lambda: extract(
        dataset, visual=["efficientnet-lite1"], acoustic=["logmel"], textual=["minilm"]
    ))  # fmt: skip
    timed("split", lambda: make_split(dataset, "main", SplitRecipe(seed=seed)))
    shutil.rmtree(folder / "runs", ignore_errors=True)
    for name in MODELS:
        settings, out = SETTINGS.get(name, {}), folder / "runs" / name
        timed(f"train {name}", lambda s=settings, n=name, o=out: train_run(  # type: ignore[misc]
            dataset, "main", n, s, o))  # fmt: skip
    reports = timed("evaluate", lambda: {
        name: evaluate_run(folder / "runs" / name, dataset, "test", "full", (5, 10))
        for name in MODELS
    })  # fmt: skip
    answers = timed("recommend", lambda: _recommend(folder, dataset))
    timed("filmstrip", lambda: filmstrip(
        folder / "filmstrip.png",
        [panel for panel, _ in answers],
        "What gcn-phr recommends for clips it has not seen",
    ))  # fmt: skip
    regions = timed(f"regions ({region_posts} clips, {region_seeds} seeds)", lambda: run_regions(
        folder / "regions", region_posts, seed + REGION_SEED, region_seeds
    ))  # fmt: skip
    counts = dataset.counts
    demo = Demo(
        folder=folder,
        posts=counts["posts"],
        users=counts["users"],
        hashtags=counts["hashtags"],
        reports=reports,
        example=answers[0][1],
        filmstrip=folder / "filmstrip.png",
        regions=regions,
        seconds=seconds,
    )
    write_text(folder / "report.json", json.dumps(demo.as_json(), ensure_ascii=False, indent=1))
    return demo


def _dataset(folder: Path) -> Dataset:
    """The imported clips; an earlier import of the same clips keeps its features."""
    fresh = folder / "dataset.new"
    shutil.rmtree(fresh, ignore_errors=True)
    made = import_posts(folder / "clips", fresh, format="folder").dataset
    target = folder / "dataset"
    if target.is_dir() and Dataset.open(target).posts.equals(made.posts):
        shutil.rmtree(fresh)
    else:
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    return Dataset.open(target)


def _recommend(folder: Path, dataset: Dataset) -> list[tuple[Panel, Answer]]:
    """Recommend for the raw files of some test posts, each of another creator."""
    recommender = Recommender.load(folder / "runs" / "gcn-phr")
    parts = dataset.posts.with_columns(part=open_split(dataset, "main").parts)
    past = dict(
        parts.filter(pl.col("part") == "train")
        .group_by("user")
        .agg(pl.col("hashtags").explode(empty_as_null=False))
        .iter_rows()
    )
    chosen = (
        parts.filter((pl.col("part") == "test") & (pl.col("caption") != ""))
        .unique("user", keep="first", maintain_order=True)
        .head(PANELS)
    )
    found = []
    for post in chosen.iter_rows(named=True):
        answer = recommender.answer(
            dataset.clip_path(post["clip"]), post["caption"], post["user"], k=8
        )
        own = set(past.get(post["user"], []))
        chips = [
            Chip(
                tag.hashtag,
                "hit" if tag.hashtag in post["hashtags"] else "own" if tag.hashtag in own
                else "other",
            )
            for tag in answer.hashtags
        ]  # fmt: skip
        frames = [] if answer.frames is None else list(answer.frames)
        found.append((Panel(frames, post["user"], post["caption"], chips), answer))
    return found
