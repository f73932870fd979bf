"""Makes the stored artefacts of a release: `python -m tests.artefacts.make FOLDER`.

    dataset/      posts, users with a field, a vector, a sequence and a grid, two splits, and
                  an extraction of `tokens` that was interrupted when all its parts were there
    gcn-phr/ reeltag/   finished runs
    unfinished/   a run of gcn-phr that was interrupted after its first epoch
    expected.json what they answer

Run it with the code of the release that is to be remembered, before a format changes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors import safe_open

from reeltag.data.corpus import open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature, Manifest, ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.evaluation.evaluate import evaluate
from reeltag.experiments import train as experiments
from reeltag.experiments.train import train_run
from reeltag.features.shards import Shards
from reeltag.recommend import Recommender
from reeltag.training import loop
from reeltag.training.run import load_run

POSTS, USERS, TOPICS = 60, 5, ("sea", "city", "food")
SETTINGS: Mapping[str, dict[str, Any]] = {
    "gcn-phr": {"epochs": 2, "dim": 4, "features": "visual"},
    "reeltag": {"scorers": ["popularity", "user-history", "content-knn"], "features": "visual"},
}
CAPTION, USER = "a day at the sea", "u1"


def main(folder: Path) -> None:
    """Write everything into `folder`."""
    torch.set_num_threads(1)
    dataset = make_dataset(folder / "dataset")
    for name, settings in SETTINGS.items():
        train_run(dataset, "main", name, settings, folder / name, device="cpu")
    interrupted(dataset, folder / "unfinished")
    interrupted_extraction(dataset)
    (folder / "expected.json").write_text(json.dumps(answers(folder), indent=1))


def make_dataset(path: Path) -> Dataset:
    """Posts whose hashtags depend on their topic, which the features show, and their user."""
    rng = np.random.default_rng(0)
    topic, user = rng.integers(len(TOPICS), size=POSTS), np.arange(POSTS) % USERS
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(POSTS)],
            "user": [f"u{u}" for u in user],
            "time": pl.Series(1_700_000_000 + 3600 * np.arange(POSTS)).cast(pl.Int64) * 1_000_000,
            "caption": [f"a day at the {TOPICS[t]}" for t in topic],
            "hashtags": [[TOPICS[t], f"by{u}", "all"] for t, u in zip(topic, user, strict=True)],
            "music": [f"song {n % 3}" for n in range(POSTS)],
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us")))
    known = pl.DataFrame({"user": [f"u{u}" for u in range(USERS)], "gender": list("fmfmf")})
    values = (np.eye(3)[topic] + 0.1 * rng.standard_normal((POSTS, 3))).astype(np.float32)

    def manifest(name: str, kind: Any, shape: tuple[int, ...]) -> Manifest:
        return Manifest(f"{name}-test", name, "test", kind, shape, "float32", "columns")

    steps = [None if n == 3 else values[n : n + 1 + n % 2] for n in range(POSTS)]
    made = Dataset.create(
        path,
        posts,
        source={"format": "made"},
        users=known,
        features=[
            Feature(manifest("visual", "vector", (3,)), values, np.ones(POSTS, bool)),
            ragged(manifest("acoustic", "sequence", (3,)), steps),
            ragged(
                manifest("textual", "grid", (2, 3)),
                (None if step is None else np.stack([step, step], 1) for step in steps),
            ),
        ],
    )
    make_split(made, "main", SplitRecipe())
    make_split(made, "time", SplitRecipe(by="time", cold_hashtags=0.2))
    return made


def interrupted(dataset: Dataset, out: Path) -> None:
    """Train until the first epoch is stored."""
    save = loop.save_checkpoint

    def stop(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    loop.save_checkpoint = stop
    try:
        experiments.train_run(dataset, "main", "gcn-phr", SETTINGS["gcn-phr"], out, device="cpu")
    except KeyboardInterrupt:
        return
    finally:
        loop.save_checkpoint = save


def interrupted_extraction(dataset: Dataset) -> None:
    """Extract until the parts are to be joined."""
    from reeltag.features.job import extract

    assemble = Shards.assemble

    def stop(_: Shards) -> Feature:
        raise KeyboardInterrupt

    Shards.assemble = stop  # type: ignore[method-assign]
    try:
        extract(dataset, textual=["tokens"])
    except KeyboardInterrupt:
        return
    finally:
        Shards.assemble = assemble  # type: ignore[method-assign]


def answers(folder: Path) -> dict[str, Any]:
    """What the artefacts in `folder` say, as JSON."""
    dataset = Dataset.open(folder / "dataset")
    return {
        "counts": dataset.counts,
        "features": {name: float(np.sum(dataset.feature(name).values)) for name in FEATURES},
        **{name: answers_of(folder, name) for name in SETTINGS},
    }


def answers_of(folder: Path, name: str) -> dict[str, Any]:
    """How one of the runs judges and recommends."""
    run, dataset = load_run(folder / name, "cpu"), Dataset.open(folder / "dataset")
    corpus = open_corpus(dataset, "main", ["visual"], "count", "vector", True)
    answer = Recommender.load(folder / name, "cpu").recommend(caption=CAPTION, user=USER, k=3)
    return {
        "ndcg@5": evaluate(run.model, corpus, "test").metrics["ndcg@5"],
        "recommended": {tag.hashtag: round(tag.score, 5) for tag in answer},
        "reasons": [reason.text for tag in answer for reason in tag.reasons],
    }


def said_by(checkpoint: Path) -> dict[str, Any]:
    """The progress that a checkpoint stores."""
    with safe_open(checkpoint, framework="pt") as stored:
        found: dict[str, Any] = json.loads(stored.metadata()["progress"])
    return found


FEATURES = ("visual-test", "acoustic-test", "textual-test")

if __name__ == "__main__":
    main(Path(sys.argv[1]))
