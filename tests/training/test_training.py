"""Training: exact resume, early stopping, order as a pure function of seed and epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reeltag.data.corpus import NO_FEATURES, Corpus, batch_of
from reeltag.data.negatives import NegativeSampler
from reeltag.errors import ConfigError, ReelTagError, RunError
from reeltag.models.contract import Sizes, Trained
from reeltag.models.registry import build
from reeltag.training import loop
from reeltag.training.checkpoints import Progress, load_checkpoint
from reeltag.training.config import TrainingConfig
from reeltag.training.loop import batches_of, examples_of, optimiser_of, rate_of, train
from reeltag.training.settings import divide_settings, read_settings


def new_model(corpus: Corpus) -> Trained:
    torch.manual_seed(0)
    model = build("gcn-phr", {"dim": 6}, Sizes.of(corpus.training))
    assert isinstance(model, Trained)
    model.fit(corpus.training)
    return model


def run(
    corpus: Corpus,
    folder: Path,
    scores: dict[int, float] | None = None,
    stop_after: int = 99,
    **options: Any,
) -> tuple[Trained, Progress]:
    """Train with given validation scores by call; raise KeyboardInterrupt to play a kill."""
    model, calls = new_model(corpus), iter(range(1, 100))
    resumed = options.pop("resume", False)
    first = 0
    if resumed:
        first = load_checkpoint(folder / "c", {}).progress.epoch

    def validate(_: Trained) -> dict[str, float]:
        call = first + next(calls)
        if call > stop_after:
            raise KeyboardInterrupt
        return {"recall@10": (scores or {}).get(call, call / 100)}

    config = TrainingConfig(**{"epochs": 4, "batch_size": 64, "weight_decay": 1e-3, **options})
    progress = train(
        model,
        corpus.training,
        config,
        validate,
        settings={},
        checkpoint=folder / "c",
        resume=resumed,
    )
    return model, progress


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_resume_equals_never_stopping(corpus: Corpus, tmp_path: Path, optimiser: str) -> None:
    whole, _ = run(corpus, tmp_path / "whole", optimiser=optimiser)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path / "killed", stop_after=2, optimiser=optimiser)
    resumed, progress = run(corpus, tmp_path / "killed", resume=True, optimiser=optimiser)
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4]
    for name, value in whole.tensors().items():
        assert torch.equal(value, resumed.tensors()[name]), name


def test_the_loss_goes_down(corpus: Corpus, tmp_path: Path) -> None:
    _, progress = run(corpus, tmp_path, epochs=8, learning_rate=0.01)
    losses = [row["loss"] for row in progress.history]
    assert losses[-1] < 0.7 * losses[0]


def test_stops_early_and_keeps_the_best_epoch(corpus: Corpus, tmp_path: Path) -> None:
    scores = {1: 0.1, 2: 0.5, 3: 0.4, 4: 0.3, 5: 0.9}
    best, progress = run(corpus, tmp_path / "a", scores, epochs=20, patience=2)
    assert (progress.epoch, progress.best_epoch) == (4, 2)
    second, _ = run(corpus, tmp_path / "b", {1: 0.1, 2: 0.5}, epochs=2)
    for name, value in second.tensors().items():
        assert torch.equal(value, best.tensors()[name]), name


def test_batch_order_is_a_pure_function_of_seed_and_epoch(corpus: Corpus) -> None:
    training, config = corpus.training, TrainingConfig(batch_size=50, negatives=3)
    examples = examples_of(new_model(corpus), training)

    def batches(epoch: int, seed: int = 0) -> list[torch.Tensor]:
        chosen = config.model_copy(update={"seed": seed})
        return [
            torch.cat([b.posts.own.unsqueeze(1), b.positives.unsqueeze(1), b.negatives], 1)
            for b in batches_of(examples, training, chosen, epoch)
        ]

    first = torch.cat(batches(1))
    assert torch.equal(first, torch.cat(batches(1)))
    assert not torch.equal(first, torch.cat(batches(2)))
    assert not torch.equal(first, torch.cat(batches(1, seed=1)))
    # Each use stands exactly once, and no negative is on its post.
    uses = sorted(zip(*(t.tolist() for t in training.triples), strict=True))
    assert sorted(map(tuple, first[:, :2].tolist())) == uses
    carried = training.posts.hashtags.dense(len(training.hashtags))
    assert not carried[first[:, 0].unsqueeze(1), first[:, 2:]].any()


def test_other_settings_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    run(corpus, tmp_path, epochs=1)
    with pytest.raises(RunError, match="other settings \\(dim\\)"):
        load_checkpoint(tmp_path / "c", {"dim": 3})


def test_a_damaged_checkpoint_is_named(corpus: Corpus, tmp_path: Path) -> None:
    run(corpus, tmp_path, epochs=1)
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:100])
    with pytest.raises(RunError, match="is damaged"):
        load_checkpoint(tmp_path / "c", {})


def test_divergence_says_what_to_do(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(model: Trained, config: TrainingConfig) -> torch.optim.Optimizer:
        for parameter in model.parameters():
            parameter.data.fill_(torch.inf)
        return optimiser_of(model, config)

    monkeypatch.setattr(loop, "optimiser_of", diverged)
    with pytest.raises(ReelTagError, match="learning_rate"):
        run(corpus, tmp_path)


def test_tensorboard_curves_are_written(corpus: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    model = new_model(corpus)
    train(
        model,
        corpus.training,
        TrainingConfig(epochs=1),
        lambda _: {"recall@10": 0.5},
        settings={},
        checkpoint=tmp_path / "c",
        logs=tmp_path / "tb",
    )
    assert any((tmp_path / "tb").iterdir())


def test_settings_go_where_they_belong(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[model]\ndim = 8\n[training]\nepochs = 3\nseed = 1\n")
    settings = read_settings(tmp_path / "s.toml", ["seed=5", "fusion=transform", "dim=9"])
    model, training, features = divide_settings("gcn-phr", settings)
    assert model.model_dump()["dim"] == 9
    assert model.model_dump()["fusion"] == "transform"
    assert (training.epochs, training.seed, features) == (3, 5, None)
    _, _, features = divide_settings("gcn-phr", {"features": "visual, textual"})
    assert features == ["visual", "textual"]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("dmi=3", "Did you mean dim"),
        ("dim", "expected KEY=VALUE"),
        ("dim=many", "'dim' of model gcn-phr: got 'many'"),
        ("epochs=0", "'epochs' of training: got 0"),
        ("fusion=glue", "got 'glue'"),
    ],
)
def test_bad_settings_are_named(pair: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        divide_settings("gcn-phr", read_settings(None, [pair]))


def test_a_batch_without_features_never_waits_for_the_device(corpus: Corpus) -> None:
    """On the meta device whatever reads a value, or a size that depends on one, fails."""
    posts = corpus.training.posts
    sampler = NegativeSampler(posts.hashtags, len(corpus.hashtags))
    for name in ("lengths", "offsets", "keys"):
        setattr(sampler, name, getattr(sampler, name).to("meta"))
    index = torch.zeros(8, dtype=torch.int64, device="meta")
    batch = batch_of(NO_FEATURES, posts.to("meta"), index, own=index)
    assert batch.users.shape == (8,)
    assert sampler.draw(index, 3, torch.Generator()).shape == (8, 3)


def test_the_step_size_falls_on_a_plateau(corpus: Corpus, tmp_path: Path) -> None:
    config = TrainingConfig(learning_rate=1.0, plateau=2)
    rows = [{"recall@10": value} for value in (0.1, 0.2, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1)]
    rates = [rate_of(config, rows[:n]) for n in range(len(rows) + 1)]
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])
    assert rate_of(TrainingConfig(learning_rate=1.0), rows) == 1.0
    falling = {1: 0.5, 2: 0.4, 3: 0.3, 4: 0.2}
    options = {"optimiser": "sgd", "plateau": 1}
    whole, _ = run(corpus, tmp_path / "whole", falling, **options)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path / "killed", falling, stop_after=2, **options)
    again, _ = run(corpus, tmp_path / "killed", falling, resume=True, **options)
    for name, value in whole.tensors().items():
        assert torch.equal(value, again.tensors()[name]), name


@pytest.mark.parametrize("size", [7, 50, 1000])
def test_batches_by_post_hold_every_use_once(corpus: Corpus, size: int) -> None:
    training, config = corpus.training, TrainingConfig(batch_size=size, negatives=2)
    model = build("three-way", {}, Sizes.of(training))
    assert isinstance(model, Trained)
    examples, found, posts = examples_of(model, training), [], []
    for batch in batches_of(examples, training, config, 1):
        assert len(batch.posts) <= size
        own = batch.posts.own[batch.owner]
        found += list(zip(own.tolist(), batch.positives.tolist(), strict=True))
        posts += batch.posts.own.tolist()
        for post, drawn in zip(own.tolist(), batch.negatives.tolist(), strict=True):
            start, end = training.posts.hashtags.offsets[post : post + 2].tolist()
            assert not set(drawn) & set(training.posts.hashtags.values[start:end].tolist())
    assert sorted(found) == sorted(zip(*(t.tolist() for t in training.triples), strict=True))
    assert len(set(posts)) == len(posts)
