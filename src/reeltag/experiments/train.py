"""Dataset, split and a model's name in, a finished run folder out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel

from reeltag.data.corpus import Corpus, Posts, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.errors import InputError
from reeltag.evaluation.evaluate import Report, evaluate
from reeltag.evaluation.metrics import judge_scores
from reeltag.evaluation.protocols import judge
from reeltag.evaluation.ranking import block_size, blocks_of
from reeltag.experiments.card import model_card
from reeltag.models.contract import Composed, Model, Refitting, Sizes, Trained, Validated
from reeltag.models.registry import entry_of, make
from reeltag.progress import say
from reeltag.runtime import device_of, generator_of, seed_of
from reeltag.storage import write_text
from reeltag.together import first
from reeltag.training.checkpoints import Progress
from reeltag.training.config import TrainingConfig
from reeltag.training.description import EVIDENCE, PARTS, read_description
from reeltag.training.evidence import save_evidence
from reeltag.training.loop import train
from reeltag.training.run import finish_run, save_run
from reeltag.training.settings import divide_settings

_LATER = {"judged", "kept_features", "reasons"}
"""Settings that 0.1.0 did not have: its checkpoints had what is their default."""


@dataclass(frozen=True)
class Trainee:
    """A fitted model with what it was fitted on."""

    model: Model
    corpus: Corpus
    progress: Progress
    seconds: float


def train_run(
    dataset: Dataset,
    split: str,
    name: str,
    settings: Mapping[str, Any],
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
) -> dict[str, Any]:
    """Train a model, judge it on validation, write its run to `out`; returns its `run.toml`.

    With `resume`, an unfinished run goes on where it was killed and a finished one is
    returned as it is. Raises `InputError` where `out` holds something and `resume` is not set.

    Of processes that train together the first writes; the others return an empty description.
    """
    finished = check_out(out, resume)
    if finished is not None:
        return finished
    corpus, model = prepare(dataset, split, name, settings)
    trainee = fit(corpus, model, name, settings, out, device=device, resume=resume)
    report = evaluate_held_out(trainee.model, corpus, settings.get("judged"))
    if not first():
        return {}
    return write_run(out, refit(trainee), name, settings, report)


def evaluate_held_out(model: Model, corpus: Corpus, judged: int | None = None) -> Report:
    """Judge `model` on the validation posts, or on `judged` of them (`judged_posts`).

    Where no validation post can be judged, the training posts are.
    """
    posts = judged_posts(corpus, judged)
    if (posts.hashtags.lengths > 0).any():
        return evaluate(model, corpus, "validation", posts=posts)
    return evaluate(model, corpus, "train")


def judged_posts(corpus: Corpus, most: int | None) -> Posts:
    """The validation posts, or `most` of them: drawn once, the same for every model and seed."""
    posts = corpus.part("validation")
    if most is None or most >= len(posts):
        return posts
    drawn = torch.randperm(len(posts), generator=generator_of("judged"))[:most]
    return posts.select(drawn.sort().values)


def check_out(out: Path, resume: bool) -> dict[str, Any] | None:
    """Whether a run can be written to `out`; the `run.toml` of one that is finished already.

    Raises `InputError` where it holds something and `resume` is not set.
    """
    if (out / "run.toml").is_file():
        if resume:
            say(f"{out} is finished already.")
            _clear(out)
            return read_description(out)
        raise InputError(f"{out} holds a run already. Choose another --out, or remove it.")
    if out.exists() and any(out.iterdir()) and not resume:
        raise InputError(f"{out} holds an unfinished run. Continue it with --resume, or remove it.")
    return None


def write_run(
    out: Path, trainee: Trainee, name: str, settings: Mapping[str, Any], report: Report | None
) -> dict[str, Any]:
    """Write what was trained, and how well it did if it was judged; returns its `run.toml`."""
    config, training, _ = divide_settings(name, settings)
    dataset = trainee.corpus.dataset
    training_set = trainee.corpus.training
    post_ids = dataset.columns("post")["post"].gather(training_set.posts.rows.numpy())
    save_evidence(out / EVIDENCE, training_set, post_ids, training.reasons)
    write_text(out / "history.json", json.dumps(trainee.progress.history, indent=1))
    description = save_run(
        out,
        trainee.model,
        trainee.corpus,
        name=name,
        settings=config.model_dump(),
        training=training,
        results={
            "on": "nothing" if report is None else report.on,
            "posts": 0 if report is None else report.posts,
            "metrics": {} if report is None else report.metrics,
            "best_epoch": trainee.progress.best_epoch,
            "epochs": trainee.progress.epoch,
            "seconds": round(trainee.seconds, 3),
        },
    )
    write_text(out / "README.md", model_card(description))
    finish_run(out, description)
    _clear(out)
    return description


def _clear(out: Path) -> None:
    """Remove the checkpoints of a finished run."""
    for folder in (out, *out.glob(f"{PARTS}/*")):
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)


def prepare(
    dataset: Dataset, split: str, name: str, settings: Mapping[str, Any]
) -> tuple[Corpus, Model]:
    """The corpus and the unfitted model that settings describe, weights drawn by the seed."""
    config, training, features = divide_settings(name, settings)
    kind = entry_of(name).model
    words: Literal["count", "none"] = "count" if kind.needs_words else "none"
    corpus = open_corpus(dataset, split, features, words, kind.reads, kind.needs_pieces)
    torch.manual_seed(seed_of(training.seed, "weights"))
    return corpus, make(name, config, Sizes.of(corpus.training))


def fit(
    corpus: Corpus,
    model: Model,
    name: str,
    settings: Mapping[str, Any],
    out: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    watch: Callable[[dict[str, float]], None] | None = None,
    begin: Callable[[Trained], dict[str, Any]] | None = None,
) -> Trainee:
    """Let `model` learn from the training part of `corpus`.

    The parts of a `Composed` one are trained first, each as it would be by itself: by its own
    defaults, by the seed, and by those `settings` of training that the whole has no other use for.

    `watch` is shown the validation metrics after each epoch of a trained model; what it
    raises ends the training. `begin` sets the weights a trained model starts from, and says what
    of them a checkpoint must have in common.
    """
    config, training, _ = divide_settings(name, settings)
    start = time.perf_counter()
    if isinstance(model, Composed):
        shared = {k: settings[k] for k in TrainingConfig.model_fields if k in settings}
        shared = {
            k: v for k, v in shared.items() if k == "seed" or k not in type(config).model_fields
        }
        for own, part in model.parts.items():
            say(f"Training {own}, which takes part in {name}.")
            to = out / PARTS / own
            done = fit(corpus, part, own, shared, to, device=device, resume=resume)
            done.model.to("cpu")
            if first():
                write_text(to / "history.json", json.dumps(done.progress.history, indent=1))
    model.fit(corpus.training)
    model = model.to(device_of(device))
    progress = Progress()
    if isinstance(model, Validated):
        held = corpus.part("validation")
        held = held.select((held.hashtags.lengths > 0).nonzero().squeeze(1))
        blocks = blocks_of(model, corpus, held, block_size(model))
        model.choose(
            ((batch, held.hashtags.select(index).to(model.device)) for index, batch in blocks),
            judge_scores,
        )
    if isinstance(model, Trained):
        posts = judged_posts(corpus, training.judged)
        if not len(posts):
            raise InputError(
                f"Split {corpus.split.name!r} has no validation posts, which {name} needs to stop "
                "in time. Make one with three parts: reeltag split --ratio 8:1:1"
            )

        def validate(candidate: Trained) -> dict[str, float]:
            judged = judge(candidate, corpus, posts, tops=(10,))
            metrics = {metric: float(value.mean()) for metric, value in judged.values.items()}
            if watch is not None:
                watch(metrics)
            return metrics

        begun = {} if begin is None else begin(model)
        progress = train(
            model,
            corpus.training,
            training,
            validate,
            settings={
                "model": name,
                "settings": _deciding(config),
                "training": _deciding(training),
                "dataset": corpus.dataset.description["sha256"],
                "split": {"name": corpus.split.name, **asdict(corpus.split.recipe)},
                "features": {n: m.fingerprint for n, m in model.sizes.manifests.items()},
                **begun,
            },
            checkpoint=out / "checkpoint.safetensors",
            resume=resume,
            logs=out / "tensorboard" if training.tensorboard else None,
        )
        model.refresh()
    return Trainee(model.eval(), corpus, progress, time.perf_counter() - start)


def _deciding(config: BaseModel) -> dict[str, Any]:
    """Settings as a checkpoint has them; one of an older release must be gone on with."""
    usual = {name: field.default for name, field in type(config).model_fields.items()}
    return {
        name: value
        for name, value in config.model_dump().items()
        if name not in _LATER or value != usual[name]
    }


def refit(trainee: Trainee) -> Trainee:
    """Let a model that asks for it learn from the validation posts too, now that it is chosen."""
    model = trainee.model
    if not isinstance(model, Refitting) or not model.refits:
        return trainee
    start = time.perf_counter()
    keep = isinstance(model, Composed) and bool(model.parts)
    corpus = trainee.corpus.with_validation(keep)
    other = model.refitted(corpus.training).to(model.device).eval()
    seconds = trainee.seconds + time.perf_counter() - start
    return Trainee(other, corpus, trainee.progress, seconds)
