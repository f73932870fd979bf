"""A prepared model and training posts in, the model of its best epoch out.

The batch order is a pure function of (seed, epoch) and the negatives of (seed, epoch,
step), so a run that was killed and resumed ends with the same weights as one that was not.

Processes that train together (`reeltag.together`) each take a share of every batch, add up
their gradients and take the same step, so that they end with the weights that one ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reeltag.data.corpus import NO_FEATURES, TrainingSet, batch_of
from reeltag.data.negatives import NegativeSampler
from reeltag.data.ragged import Ragged
from reeltag.errors import MissingExtraError, ReelTagError, RunError
from reeltag.models.contract import Trained, TrainingBatch
from reeltag.models.layers.share import Share, sharing
from reeltag.progress import say, track
from reeltag.runtime import generator_of, seed_of
from reeltag.together import add_up, count, first, number, numbers
from reeltag.training.checkpoints import (
    Checkpoint,
    Progress,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
)
from reeltag.training.config import TrainingConfig

Validate = Callable[[Trained], dict[str, float]]
"""Judges the model on validation posts and returns its metrics."""


@dataclass(frozen=True)
class Examples:
    """What an epoch goes through: the posts to walk, and the hashtags to learn on each.

    posts (n,) positions of training posts; hashtags: row n holds those of posts[n], or (n,) the
    one of each.
    """

    posts: Tensor
    hashtags: Ragged | Tensor


def examples_of(model: Trained, training: TrainingSet) -> Examples:
    """Every use of a hashtag, one a row or, for a model by posts, a post a row.

    Models with user vectors learn from posts with a user.
    """
    own = training.posts.hashtags
    taught = own.lengths > 0
    if model.needs_users:
        taught &= training.posts.users >= 0
    if model.by_post:
        posts = taught.nonzero().squeeze(1)
        own = own.select(posts)
        return Examples(posts, own.values if len(own.values) == len(own) else own)
    posts, hashtags = training.triples
    if not taught.all():
        posts, hashtags = posts[taught[posts]], hashtags[taught[posts]]
    return Examples(posts, hashtags)


def batches_of(
    examples: Examples,
    training: TrainingSet,
    config: TrainingConfig,
    epoch: int,
    features: bool = True,
    device: torch.device | str = "cpu",
) -> Iterator[TrainingBatch]:
    """The batches of one epoch on `device`, in an order that depends on (seed, epoch) alone.

    With `features`, rows are read from their files on the host and moved; without, posts,
    examples, order and negatives lie on the device and no step waits for it. The order is
    the same everywhere; negatives drawn on an accelerator are others than the host's.

    Of processes that train together each gets its posts of every batch, with their examples;
    what is drawn is drawn for the whole batch. Of a batch with fewer posts than processes each
    gets all.
    """
    host = torch.device("cpu") if features else torch.device(device)
    posts, reader = training.posts.to(host), training.reader if features else NO_FEATURES
    sampler = NegativeSampler(posts.hashtags, len(training.hashtags))
    order = torch.randperm(len(examples.posts), generator=generator_of(config.seed, epoch, "order"))
    steps = _steps(examples, order, config.batch_size, host)
    for step, (index, tags, owner, starts) in enumerate(steps):
        random = generator_of(config.seed, epoch, step, "negatives", device=host)
        drawn = sampler.draw(index if owner is None else index[owner], config.negatives, random)
        low, high = _own_posts(len(index))
        whole, share = index, None
        if high - low < len(whole):
            begin, end = (low, high) if starts is None else (int(starts[low]), int(starts[high]))
            share = Share((end - begin) / len(tags), len(tags))
            index, tags, drawn = index[low:high], tags[begin:end], drawn[begin:end]
            owner = None if owner is None else owner[begin:end] - low
        of_posts_here = batch_of(reader, posts, index, own=index, among=whole)
        batch = TrainingBatch(of_posts_here, tags, drawn, owner, share)
        yield batch if host.type == torch.device(device).type else batch.to(device)


def _steps(
    examples: Examples, order: Tensor, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
    """Posts and hashtags of each step; whose hashtags they are, and where those of each begin.

    The last two are None where every post has one. What begins where lies on the host, so that
    no step waits for the device.
    """
    if isinstance(examples.hashtags, Tensor):
        posts, tags = examples.posts.to(device), examples.hashtags.to(device)
        for rows in torch.split(order.to(device), size):
            yield posts[rows], tags[rows], None, None
        return
    each = examples.hashtags.lengths[order]
    starts = torch.cat([each.new_zeros(1), each.cumsum(0)])
    posts, tags = (
        examples.posts[order].to(device),
        examples.hashtags.select(order).values.to(device),
    )
    each = each.to(device)
    for at in range(0, len(posts), size):
        index, begin = posts[at : at + size], starts[at : at + size + 1]
        own = tags[int(begin[0]) : int(begin[-1])]
        places = torch.arange(len(index), device=device)
        owner = torch.repeat_interleave(places, each[at : at + size], output_size=len(own))
        yield index, own, owner, begin - begin[0]


def _own_posts(posts: int) -> tuple[int, int]:
    """First and last of a batch's posts that are this process's: all, if there are too few."""
    if posts < count():
        return 0, posts
    return number() * posts // count(), (number() + 1) * posts // count()


def train(
    model: Trained,
    training: TrainingSet,
    config: TrainingConfig,
    validate: Validate,
    *,
    settings: dict[str, Any],
    checkpoint: Path,
    resume: bool = False,
    logs: Path | None = None,
) -> Progress:
    """Fit `model` by gradient steps, keep the epoch best on validation, stop early.

    Args:
        validate: called after each epoch; `config.select` names the metric that chooses.
        settings: everything that decides the result; a checkpoint of other settings is refused.
        checkpoint: written after each epoch; read first when `resume` is set and it exists.
        logs: folder for TensorBoard event files.

    Processes that train together must see the same checkpoint, of which the first writes the next;
    it may be of another number of processes. Raises `RunError` where they do not.
    """
    optimiser = optimiser_of(model, config)
    progress = Progress()
    best: dict[str, Tensor] = {}
    if resume and checkpoint.is_file():
        stored = load_checkpoint(checkpoint, settings)
        progress, best = stored.progress, stored.best
        model.load_tensors(stored.model)
        restore_optimiser(optimiser, stored.optimiser)
        say(f"Resuming after epoch {progress.epoch} (best: epoch {progress.best_epoch}).")
    if len(set(map(tuple, numbers([progress.epoch])))) > 1:
        raise RunError(
            f"Processes found different checkpoints at {checkpoint}. Expected one folder that all "
            "of them see: give --out on a disk they share."
        )
    writer = _writer(logs) if first() else None
    examples = examples_of(model, training)
    steps = -(-len(examples.posts) // config.batch_size)
    with track(f"training {model.name}", config.epochs * steps) as bar:
        bar.advance(progress.epoch * steps)
        while progress.epoch < config.epochs and not _stale(progress, config):
            epoch = progress.epoch + 1
            torch.manual_seed(seed_of(config.seed, epoch, "dropout"))
            batches = batches_of(
                examples, training, config, epoch, not model.keeps_features, model.device
            )
            _set_rate(optimiser, rate_of(config, progress.history))
            loss = _epoch(model, batches, steps, optimiser, bar)
            model.refresh()
            scores = validate(model)
            progress.epoch = epoch
            progress.history.append({"epoch": epoch, "loss": loss, **scores})
            if scores[config.select] > progress.best_score:
                progress.best_epoch, progress.best_score = epoch, scores[config.select]
                best = {key: value.clone() for key, value in model.tensors().items()}
            bar.note(f"loss {loss:.4f}  {config.select} {scores[config.select]:.4f}")
            if writer is not None:
                for name, value in progress.history[-1].items():
                    writer.add_scalar(name, value, epoch)
            if first():
                state = (model.tensors(), best, optimiser_tensors(optimiser), settings)
                save_checkpoint(checkpoint, Checkpoint(progress, *state))
    if writer is not None:
        writer.close()
    model.load_tensors(best)
    return progress


def optimiser_of(model: Trained, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser over the model's parameters."""
    rate, decay = config.learning_rate, config.weight_decay
    factors = model.step_factors(config.batch_size)
    named = list(model.named_parameters())
    parameters = [
        {
            "params": [p for name, p in named if factors.get(name, 1.0) == factor],
            "lr": rate * factor,
            "factor": factor,
        }
        for factor in sorted({factors.get(name, 1.0) for name, _ in named})
    ]
    # fused: one pass over the parameters instead of ten.
    if config.optimiser == "sgd":
        return torch.optim.SGD(parameters, rate, config.momentum, weight_decay=decay)
    if config.optimiser == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)


def rate_of(config: TrainingConfig, history: Sequence[Mapping[str, float]]) -> float:
    """The step size of the epoch after `history`: a tenth after each plateau.

    A function of the history alone, so a resumed run goes on with the right one.
    """
    rate, best, waited = config.learning_rate, -1.0, 0
    for row in history:
        waited += 1
        if row[config.select] > best:
            best, waited = row[config.select], 0
        elif config.plateau is not None and waited >= config.plateau:
            rate, waited = rate / 10, 0
    return rate


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def _epoch(
    model: Trained,
    batches: Iterator[TrainingBatch],
    steps: int,
    optimiser: torch.optim.Optimizer,
    bar: Any,
) -> float:
    model.train()
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    examples = 0
    parameters = list(model.parameters())
    for step, batch in enumerate(batches, start=1):
        optimiser.zero_grad(set_to_none=True)
        share, size = batch.share, len(batch.positives)
        weight = 1 / count() if share is None else share.weight
        with sharing(share):
            loss = model.loss(batch) * weight
            loss.backward()  # type: ignore[no-untyped-call]
            model.after_backward(last=step == steps)
        add_up([p.grad for p in parameters if p.grad is not None])
        optimiser.step()
        # Summed on the device: reading it each step would wait for the accelerator.
        size = size if share is None else share.examples
        total += loss.detach().double() * size
        examples += size
        bar.advance()
    add_up([total])
    mean = float(total) / max(examples, 1)
    if mean != mean or mean == float("inf"):
        raise ReelTagError(
            f"The loss of {model.name} is {mean}, so training has diverged. "
            "Lower the step size: --set learning_rate=0.0003"
        )
    return mean


def _stale(progress: Progress, config: TrainingConfig) -> bool:
    return progress.epoch - progress.best_epoch >= config.patience and progress.epoch > 0


def _writer(logs: Path | None) -> Any:
    if logs is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("TensorBoard", "report") from None
    return SummaryWriter(str(logs))
