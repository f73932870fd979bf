"""A run: a folder that holds a trained model and all it needs to be used without its data.

run.toml              what was trained on what, settings, features, versions, results, checksums
model.safetensors     the model's tensors
hashtags.parquet      vocabulary (name, training uses); users, words, music and place likewise
profiles.safetensors  codes of the known users' fields, whose meaning `run.toml` lists
evidence/             what reasons are read from (`reeltag.training.evidence`)
history.json          loss and validation metrics of each epoch
scorers/NAME/         the same of a trained model that is part of another
README.md             the model card
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import reeltag
from reeltag.checksums import sha256_of
from reeltag.data.contexts import CONTEXT_COLUMNS, Contexts
from reeltag.data.corpus import Corpus
from reeltag.data.feature import Manifest
from reeltag.data.profiles import Fields
from reeltag.data.vocabulary import Vocabulary
from reeltag.errors import RunError
from reeltag.models.contract import Model, Sizes
from reeltag.models.registry import build
from reeltag.runtime import device_of
from reeltag.storage import write_bytes, write_toml
from reeltag.training.config import TrainingConfig
from reeltag.training.description import EVIDENCE, FORMAT, PARTS, check_run, read_description
from reeltag.training.tensors import tensor_file

VOCABULARIES = ("hashtags", "users", "words")


@dataclass(frozen=True)
class Run:
    """An opened run."""

    path: Path
    description: dict[str, Any]
    model: Model
    hashtags: Vocabulary
    users: Vocabulary
    words: Vocabulary
    fields: Fields
    profiles: Tensor
    """Codes of the known users' fields (users, F)."""
    contexts: Contexts = field(default_factory=Contexts)

    @property
    def manifests(self) -> dict[str, Manifest]:
        """The features the model reads, by name."""
        return dict(self.model.sizes.manifests)


def save_run(
    path: Path,
    model: Model,
    corpus: Corpus,
    *,
    name: str,
    settings: dict[str, Any],
    training: TrainingConfig,
    results: dict[str, Any],
) -> dict[str, Any]:
    """Write the tensors and vocabularies of a run; return what `finish_run` is to store.

    What else is there by then (evidence, histories) gets its checksum, too.
    """
    write_bytes(path / "model.safetensors", *tensor_file(model.tensors()))
    corpus.hashtags.save(path / "hashtags.parquet")
    corpus.users.save(path / "users.parquet")
    corpus.words.save(path / "words.parquet")
    corpus.contexts.save(path)
    profiles = corpus.fields.codes(corpus.dataset.users, pl.Series(corpus.users.names))
    write_bytes(path / "profiles.safetensors", *tensor_file({"codes": profiles}))
    return {
        "format": FORMAT,
        "model": name,
        "settings": settings,
        "training": training.model_dump(),
        "dataset": {
            "name": corpus.dataset.path.name,
            "source": corpus.dataset.description["source"],
            "counts": corpus.dataset.counts,
            "sha256": corpus.dataset.description["sha256"],
        },
        "split": {"name": corpus.split.name, **asdict(corpus.split.recipe)},
        "sizes": {
            "users": model.sizes.users,
            "hashtags": model.sizes.hashtags,
            "words": model.sizes.words,
            "timed": model.sizes.timed,
            "training_posts": len(corpus.training.posts),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "fields": corpus.fields.as_list(),
        "features": [asdict(m) for m in model.sizes.manifests.values()],
        "results": results,
        "versions": {
            "reeltag": reeltag.__version__,
            "torch": torch.__version__,
            "polars": pl.__version__,
            "python": platform.python_version(),
        },
        "sha256": {str(file): sha256_of(path / file) for file in _stored(path)},
    }


def _stored(path: Path) -> list[Path]:
    """What a run's description vouches for, under its folder."""
    names = (
        "model.safetensors",
        "profiles.safetensors",
        *(f"{name}.parquet" for name in (*VOCABULARIES, *CONTEXT_COLUMNS)),
    )
    more = (path / EVIDENCE, path.glob("history.json"), path.glob(f"{PARTS}/*/history.json"))
    found = [*more[0].glob("*"), *more[1], *more[2]]
    return [*map(Path, names), *sorted(file.relative_to(path) for file in found)]


def finish_run(path: Path, description: dict[str, Any]) -> None:
    """Write `run.toml`, last of all: a folder without it is an unfinished run."""
    write_toml(path / "run.toml", description)


def load_run(path: Path | str, device: str = "auto") -> Run:
    """Open a run. Raises `RunError` where it is absent, unfinished or damaged."""
    path = Path(path)
    description = read_description(path)
    check_run(path, description)
    try:
        manifests = {
            stored["name"]: Manifest(**{**stored, "shape": tuple(stored["shape"])})
            for stored in description["features"]
        }
        counts = description["sizes"]
        fields = Fields.from_list(description["fields"])
        contexts = Contexts.load(path)  # nothing is known in runs from before there were any
        sizes = Sizes(
            counts["users"],
            counts["hashtags"],
            manifests,
            counts["words"],
            fields.widths,
            contexts.widths,
            counts.get("timed", False),
        )
        model = build(description["model"], description["settings"], sizes)
        model.load_tensors(load_file(path / "model.safetensors"))
        profiles = load_file(path / "profiles.safetensors")["codes"]
    except (SafetensorError, KeyError, TypeError) as fault:
        raise RunError(f"{path} is damaged: {fault}. Train again.") from fault
    model = model.to(device_of(device)).eval()
    hashtags, users, words = (Vocabulary.load(path / f"{name}.parquet") for name in VOCABULARIES)
    return Run(path, description, model, hashtags, users, words, fields, profiles, contexts)
