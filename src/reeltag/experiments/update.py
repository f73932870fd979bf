"""A run and a dataset with new posts in, a run that knows them out, without starting anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reeltag.data.dataset import Dataset
from reeltag.errors import InputError
from reeltag.experiments.train import (
    Trainee,
    check_out,
    evaluate_held_out,
    fit,
    prepare,
    refit,
    write_run,
)
from reeltag.models.contract import Composed, Model, Refitting, Trained
from reeltag.models.house import House
from reeltag.progress import say
from reeltag.storage import sha256_of
from reeltag.together import first
from reeltag.training.carrying import carry
from reeltag.training.checkpoints import Progress
from reeltag.training.run import load_run

EPOCHS = {"epochs": 10, "patience": 2}
"""Of a trained model that goes on, where the settings do not say."""


def update_run(
    run: Path,
    dataset: Dataset,
    out: Path,
    split: str | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
) -> dict[str, Any]:
    """Let a run go on with the training posts of `dataset`, old and new; returns the `run.toml`.

    * A trained model starts from the run's weights (`carry`): rows of users, hashtags and words
      by their names, new ones from those whose posts are most alike; then it trains for a few
      epochs, on all training posts, with early stopping.
    * The house model counts again, with the validation posts where it did before, and keeps its
      trees: what scorers are to be believed changes slowly.
    * Models that count are fitted to the new posts: that is all of their training.

    Args:
        split: default the run's.
        settings: changes to the run's.

    Raises `InputError` where `out` holds something and `resume` is not set, where trained models
    take part in the run's, and where the data lacks what its trees look at.
    """
    finished = check_out(out, resume)
    if finished is not None:
        return finished
    before = load_run(run, device)
    described = before.description
    name = described["model"]
    usual = {**described["settings"], **described["training"]}
    given = {**usual, **(EPOCHS if isinstance(before.model, Trained) else {}), **(settings or {})}
    given["features"] = list(before.manifests)
    corpus, model = prepare(dataset, split or described["split"]["name"], name, given)
    if isinstance(before.model, Refitting) and before.model.refits:
        _check_parts(before.model, model, name)
        if not first():
            return {}
        old = Trainee(before.model, corpus, Progress(), 0.0)
        return write_run(out, refit(old), name, given, None)

    def begin(model: Trained) -> dict[str, Any]:
        say(f"Going on from {run}: {carry(before, model, corpus)}.")
        return {"from": sha256_of(run / "model.safetensors")}

    trainee = fit(corpus, model, name, given, out, device=device, resume=resume, begin=begin)
    report = evaluate_held_out(trainee.model, corpus, given.get("judged"))
    return write_run(out, trainee, name, given, report) if first() else {}


def _check_parts(before: Model, now: Model, name: str) -> None:
    """Trained parts know ids of the old numbering, and trees the scorers they grew on."""
    if isinstance(before, Composed) and before.parts:
        raise InputError(
            f"{', '.join(before.parts)} was trained to take part in this {name}, and cannot go on "
            f"there. Train anew: reeltag train DATASET --model {name}"
        )
    if isinstance(before, House) and isinstance(now, House):
        lacking = [scorer for scorer in before.scorers if scorer not in now.scorers]
        if lacking:
            raise InputError(
                f"{', '.join(lacking)} took part in this run and cannot work with this dataset: it "
                "lacks users, captions, features or times. Train anew: reeltag train DATASET "
                f"--model {name}"
            )
