"""A run and the dataset it was trained on in, an evaluation report out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from reeltag.data.corpus import Corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import Split, SplitRecipe, open_split
from reeltag.errors import ConfigError, RunError
from reeltag.evaluation.evaluate import Report, evaluate
from reeltag.evaluation.protocols import Protocol
from reeltag.training.run import Run, load_run


def evaluate_run(
    path: Path,
    dataset: Dataset,
    on: str,
    protocol: Protocol,
    tops: Sequence[int],
    seed: int = 0,
    device: str = "auto",
) -> Report:
    """Judge a stored run in its own numbering of hashtags and users."""
    run = load_run(path, device)
    return evaluate(run.model, corpus_of(run, dataset), on, protocol, tops, seed)


def corpus_of(run: Run, dataset: Dataset) -> Corpus:
    """The dataset a run was trained on, with its split, in the numbering of the run.

    Raises `RunError` where the posts or features are not those the run was trained on:
    its training posts could then be among the ones it is judged by.
    """
    trained, found = run.description["dataset"]["sha256"], dataset.description["sha256"]
    if trained["posts.parquet"] != found["posts.parquet"]:
        raise RunError(
            f"{run.path} was trained on other posts than those of {dataset.path} "
            f"(it was trained on {run.description['dataset']['name']!r}). Train again on these."
        )
    corpus = numbered(run, dataset, open_split(dataset, run.description["split"]["name"]))
    recipe = run.description["split"]
    if SplitRecipe.of(recipe) != corpus.split.recipe:
        raise RunError(
            f"Split {recipe['name']!r} of {dataset.path} was made again in another way since "
            f"{run.path} was trained. Train again."
        )
    return corpus


def numbered(run: Run, dataset: Dataset, split: Split | None = None) -> Corpus:
    """Any dataset in the numbering of a run; without a `split` its posts are of no part.

    Raises `RunError` where a feature was made in another way than the run's.
    """
    if split is None:
        nowhere = pl.repeat(None, dataset.counts["posts"], dtype=pl.Utf8, eager=True)
        split = Split("", SplitRecipe(), nowhere)
    corpus = Corpus(
        dataset,
        split,
        list(run.manifests),
        run.hashtags,
        run.users,
        run.words,
        run.fields,
        run.model.reads,
        run.model.needs_pieces,
        run.contexts,
    )
    for name, manifest in corpus.reader.manifests.items():
        if manifest.fingerprint != run.manifests[name].fingerprint:
            raise RunError(
                f"Feature {name!r} of {dataset.path} was made in another way than the one "
                f"{run.path} was trained on (their manifests differ). Train again."
            )
    return corpus


def parse_tops(text: str) -> tuple[int, ...]:
    """Read '5,10'. Raises `ConfigError` where it is no list of whole numbers from 1."""
    try:
        tops = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        tops = ()
    if not tops or tops[0] < 1:
        raise ConfigError(f"Got --top {text!r}, expected whole numbers such as 5,10.")
    return tops


def parse_part(on: str) -> str:
    """Check the part. Raises `ConfigError` for anything but test or validation."""
    if on not in ("test", "validation"):
        raise ConfigError(f"Got --on {on!r}, expected test or validation.")
    return on
