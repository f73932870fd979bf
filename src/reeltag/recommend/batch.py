"""A run and a dataset in, the best hashtags of each of its posts out, in parts as Parquet.

    OUT/plan.toml             what was asked for; anything else is not written over it
    OUT/part-00000.parquet    post, rank, hashtag, score: a block of posts, in the dataset's order
    OUT/recommendations.toml  counts and checksums, last of all: without it OUT is unfinished

May be killed at any time: whole parts are kept and the next call goes on, to the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from reeltag.data.corpus import Corpus, batch_of
from reeltag.data.dataset import Dataset
from reeltag.data.vocabulary import Vocabulary
from reeltag.errors import ConfigError, InputError, ReelTagError
from reeltag.evaluation.ranking import block_size
from reeltag.experiments.judge import corpus_of, numbered
from reeltag.features.pool import ProcessPool, StartPool
from reeltag.models.layers.top import top_k
from reeltag.progress import say, track
from reeltag.runtime import set_threads
from reeltag.storage import read_toml, sha256_of, write_parquet, write_toml
from reeltag.training.run import Run, load_run

FORMAT = 1
BLOCK_POSTS = 4096
"""Posts of a part."""

On = Literal["all", "test", "validation"]


@dataclass
class Block:
    """Posts to score: rows (n,) of the dataset."""

    number: int
    rows: NDArray[np.int64]
    tries: int = 0

    @property
    def arguments(self) -> tuple[NDArray[np.int64]]:
        """What a `BlockWorker` is called with."""
        return (self.rows,)


class BlockWorker:
    """Scores posts of a dataset, on one thread: equal blocks give equal bits everywhere."""

    def __init__(self, dataset: Path, run: Path, on: On, k: int, device: str) -> None:
        set_threads(1)
        self._run, self._k = load_run(run, device), k
        self._corpus = _corpus_of(self._run, Dataset.open(dataset), on)
        self._names = self._corpus.dataset.posts["post"]  # and all else, which every block needs
        learned = pl.read_parquet(run / "evidence" / "posts.parquet", columns=["post"])["post"]
        # A model that looks up training posts must not find the very post it is asked about.
        self._learned = Vocabulary(learned.to_list(), [0] * len(learned))

    def __enter__(self) -> BlockWorker:
        return self

    def __exit__(self, *fault: object) -> None:
        return

    @torch.no_grad()
    def __call__(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Ids and scores (n, min(k, hashtags)) of the best hashtags of the posts at `rows` (n,)."""
        corpus, model = self._corpus, self._run.model
        posts = corpus.posts_at(rows.copy())  # what comes from another process may be read-only
        own = torch.from_numpy(self._learned.ids_of(self._names.gather(rows)).copy())
        ids, scores = [], []
        for index in torch.split(torch.arange(len(posts)), block_size(model)):
            batch = batch_of(corpus.reader, posts, index, own[index])
            scored = model.scored(batch.to(model.device)).float().cpu()
            best = top_k(scored, self._k)
            ids.append(best.int())
            scores.append(scored.gather(1, best))
        return torch.cat(ids).numpy(), torch.cat(scores).numpy()


def recommend_batch(
    dataset: Dataset,
    run: Path,
    out: Path,
    *,
    on: On = "all",
    k: int = 10,
    workers: int | None = None,
    pool: StartPool = ProcessPool,
    device: str = "auto",
) -> dict[str, Any]:
    """Write the k best hashtags of each post to `out`; returns its `recommendations.toml`.

    Args:
        on: `all` posts, also of a dataset the run was not trained on, or those of a part of
            the split it was trained on.
        k: hashtags a post, at most the size of the vocabulary.
        workers: how many score; default: one for every core the pool has.
        pool: what the blocks are scored on; default: processes of this machine.
    Raises `RunError` and `DatasetError` where run and dataset do not fit, `InputError` where
    `out` holds something else.
    """
    if k < 1:
        raise ConfigError(f"Got k={k}, expected 1 or more.")
    opened = load_run(run, "cpu")
    corpus = _corpus_of(opened, dataset, on)
    rows = np.arange(dataset.counts["posts"]) if on == "all" else corpus.split.rows(on)
    plan = {
        "format": FORMAT,
        "run": {"model": opened.model.name, "sha256": sha256_of(run / "run.toml")},
        "dataset": {
            "name": dataset.path.name,
            "posts_sha256": dataset.description["sha256"]["posts.parquet"],
        },
        "features": {name: made.fingerprint for name, made in opened.manifests.items()},
        "on": on,
        "posts": len(rows),
        "rows_sha256": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest(),
        "k": k,
        "block_posts": BLOCK_POSTS,
    }
    if done := _begin(out, plan):
        say(f"{out} is finished already.")
        return done
    starts = range(0, len(rows), BLOCK_POSTS)
    parts = [out / f"part-{number:05d}.parquet" for number in range(len(starts))]
    blocks = [
        Block(number, rows[start : start + BLOCK_POSTS])
        for number, start in enumerate(starts)
        if not parts[number].is_file()
    ]
    start = partial(BlockWorker, dataset.path.absolute(), run.absolute(), on, k, device)
    names, posts = pl.Series(opened.hashtags.names, dtype=pl.Utf8), dataset.columns("post")["post"]
    del opened, corpus
    with (
        track("Recommending", sum(len(block.rows) for block in blocks)) as tracker,
        pool(start, workers, len(blocks)) as running,
    ):
        for block, answer in running.run(blocks):
            if isinstance(answer, str):
                raise ReelTagError(
                    f"Posts {block.rows[0]} to {block.rows[-1]} could not be scored: {answer}. "
                    "Whole parts are kept: the same command goes on."
                )
            write_parquet(parts[block.number], _table(posts.gather(block.rows), names, *answer))
            tracker.advance(len(block.rows))
    described = {**plan, "sha256": {part.name: sha256_of(part) for part in parts}}
    write_toml(out / "recommendations.toml", described)
    return described


def parse_on(on: str) -> On:
    """Check the part. Raises `ConfigError` for anything but all, test or validation."""
    if on not in get_args(On):
        raise ConfigError(f"Got --on {on!r}, expected one of {', '.join(get_args(On))}.")
    return on  # type: ignore[return-value]


def _corpus_of(run: Run, dataset: Dataset, on: On) -> Corpus:
    return numbered(run, dataset) if on == "all" else corpus_of(run, dataset)


def _begin(out: Path, plan: dict[str, Any]) -> dict[str, Any] | None:
    """Make `out` ready for a plan; its `recommendations.toml` where all of it is there already.

    A finished part that is no longer what was written is removed, to be made again.
    """
    file = out / "plan.toml"
    if file.is_file():
        if read_toml(file) != plan:
            raise InputError(
                f"{out} holds recommendations of another run, for other posts or of another "
                "--on or -k. Choose another --out, or remove it."
            )
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"{out} holds something else. Choose another --out.")
    else:
        write_toml(file, plan)
    if not (out / "recommendations.toml").is_file():
        return None
    done = read_toml(out / "recommendations.toml")
    parts = {out / name: sha256 for name, sha256 in done["sha256"].items()}
    damaged = [p for p, sha256 in parts.items() if not p.is_file() or sha256_of(p) != sha256]
    for part in damaged:
        say(f"{part} is missing or damaged: its posts are scored again.")
        part.unlink(missing_ok=True)
    return None if damaged else done


def _table(
    posts: pl.Series, names: pl.Series, ids: NDArray[np.int32], scores: NDArray[np.float32]
) -> pl.DataFrame:
    count, k = ids.shape
    return pl.DataFrame(
        {
            "post": posts.gather(np.repeat(np.arange(count), k)),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), count),
            "hashtag": names.gather(ids.ravel()),
            "score": scores.ravel(),
        }
    )
