"""Does GCN-PHR's fast path pay for its speed? Validation recall against wall time, real data.

Exact full-graph steps against sampled neighbours and delayed products, eight seeds each, on
the news set of `../shared/data` (skipped, with a line, where it is absent), with the settings
that `benchmarks.gcn_phr` times. Writes `build/convergence.png`.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gcn_phr import FAST
from benchmarks.measure import figure
from reeltag.data.corpus import Corpus
from reeltag.data.dataset import Dataset
from reeltag.data.filters import Filter, filter_dataset
from reeltag.data.importers import import_posts
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.evaluation.evaluate import evaluate
from reeltag.experiments.train import fit, prepare
from reeltag.features.job import extract
from reeltag.progress import say
from reeltag.runtime import set_threads

SEEDS = tuple(range(8))
PATIENCE = 10
"""Of both: with the usual 5 a seed may stop early, and luck decides which."""
VISUAL = (
    "V6_visual_set-up,V7a_images,V7b_text,V7c_screenshots_and_recordings,"
    "V7d_graphs_maps_infoanimations,V7e_news_brand_elements,V7f_outlet-related_endcard"
)
ACOUSTIC = (
    "V8a_journalists_moderators_voice,V8b_other_peoples_voice,V8c_voice_other_effect,"
    "V8d_music,V8e_ambient"
)
MAPPING = {
    "post": "M1_video_id",
    "user": "V3_news_outlet",
    "time": "M3_create_time",
    "hashtags": "M8_hashtags",
    "caption": "V11_general_topic",
}
Curve = list[tuple[float, float]]


def main() -> dict[str, dict[str, Any]]:
    """Final quality and seconds of both ways, and whether they are the same within a deviation."""
    set_threads()
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    source = Path(os.environ.get("REELTAG_SHARED_DATA", default)) / "tiktok_news_gesis"
    if not source.is_dir():
        say(f"convergence: skipped, {source} is absent (set REELTAG_SHARED_DATA)")
        return {}
    figures: dict[str, dict[str, Any]] = {}
    curves: dict[str, list[Curve]] = {}
    finals: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        dataset = news(source / "tiktok.csv.gz", Path(folder))
        for name, settings in {"exact": {}, "fast": FAST}.items():
            curves[name], finals[name] = [], []
            for seed in SEEDS:
                curve, final = _train(
                    dataset, {**settings, "seed": seed, "patience": PATIENCE}, Path(folder)
                )
                curves[name].append(curve)
                finals[name].append(final)
            values = np.array(finals[name])
            seconds = np.mean([curve[-1][0] for curve in curves[name]])
            note = f"deviation {values.std(ddof=1):.4f}, {seconds:.0f} s of training"
            figures[f"{name}_test_recall_10"] = figure(
                values.mean(), "recall@10", None, note, digits=4
            )
    exact, fast = (np.array(finals[name]) for name in ("exact", "fast"))
    gap = abs(exact.mean() - fast.mean())
    deviation = float(np.sqrt((exact.var(ddof=1) + fast.var(ddof=1)) / 2))
    figures["gap_of_means"] = figure(
        gap, "recall@10", deviation, "target: one deviation, pooled", digits=4
    )
    _draw(curves, Path("build") / "convergence.png")
    return figures


def news(file: Path, folder: Path) -> Dataset:
    """The news set, 5/5 core, split per user, with sentence vectors."""
    import_posts(
        file,
        folder / "news",
        mapping=MAPPING,
        features={"visual": VISUAL.split(","), "acoustic": ACOUSTIC.split(",")},
    )
    dataset = filter_dataset(Dataset.open(folder / "news"), folder / "news5", Filter(5, 5))
    make_split(dataset, "main", SplitRecipe())
    extract(dataset, textual=["minilm"])
    return dataset


def _train(dataset: Dataset, settings: dict[str, Any], folder: Path) -> tuple[Curve, float]:
    corpus, model = prepare(dataset, "main", "gcn-phr", settings)
    curve: Curve = []
    start = time.perf_counter()

    def watch(metrics: dict[str, float]) -> None:
        curve.append((time.perf_counter() - start, metrics["recall@10"]))

    out = folder / f"run-{time.monotonic_ns()}"
    trainee = fit(corpus, model, "gcn-phr", settings, out, watch=watch)
    return curve, _recall(trainee.model, corpus)


def _recall(model: Any, corpus: Corpus) -> float:
    return evaluate(model, corpus).metrics["recall@10"]


def _draw(curves: dict[str, list[Curve]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    picture, axes = pyplot.subplots(figsize=(7, 4))
    for (name, runs), colour in zip(curves.items(), ("#1d4a8c", "#c2571a"), strict=True):
        for number, run in enumerate(runs):
            seconds, recall = zip(*run, strict=True)
            axes.plot(seconds, recall, color=colour, alpha=0.8, label=None if number else name)
    axes.set_xlabel("seconds of training, judging included")
    axes.set_ylabel("validation recall@10")
    axes.set_title("GCN-PHR on the news set: exact steps and the fast path")
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(picture)
