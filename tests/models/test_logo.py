"""LOGO against an independent NumPy reading of its equations, and against naive loops."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from reeltag.data.batches import Steps
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.models.contract import Sizes
from reeltag.models.logo import Logo
from reeltag.models.registry import build
from reeltag.training.checkpoints import Progress
from reeltag.training.config import TrainingConfig
from reeltag.training.loop import train
from tests.models.contract import TrainedContract
from tests.models.sequenced import (
    POOLINGS,
    SMALL,
    WIDTHS,
    built,
    corpus,
    gradients,
    lstm,
    naive_view_loss,
    part,
    relu,
    sigmoid,
    some,
    training_batch,
)

__all__ = ["corpus"]


def vector_of(model: Logo, modality: str, rows: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Eq. 1-4 for one post and hashtag from raw rows (T, width); None without any."""
    if not len(rows):
        return None
    whole = {k: v.double().numpy() for k, v in model.state_dict().items()}
    w = part(whole, f"views.{modality}.")
    mean, scale = whole[f"input.{modality}_mean"], whole[f"input.{modality}_scale"]
    states = lstm(part(w, "lstm."), (rows - mean) * scale)
    pooling = model.config.pooling
    if pooling == "attention":
        a = []
        for h in states:
            asked = w["attention.queries.weight"] @ y
            key = w["attention.keys.weight"] @ h + w["attention.keys.bias"]
            a.append(w["attention.weight"] @ relu(key + asked))
        e = np.exp(np.array(a) - max(a))
        pooled = sum(share * h for share, h in zip(e / e.sum(), states, strict=True))
    elif pooling == "last":
        pooled = states[-1]
    else:
        pooled = (np.mean if pooling == "mean" else np.max)(states, axis=0)
    x = relu(w["tower.first.weight"] @ pooled + w["tower.first.bias"])
    x = relu(w["tower.second.weight"] @ x + w["tower.second.bias"])
    return w["tower.third.weight"] @ x + w["tower.third.bias"]


def reference(model: Logo, corpus: Corpus, rows: list[int]) -> np.ndarray:
    """Logits of test posts for every hashtag, a pair at a time, from weights and stored rows."""
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    posts = corpus.part("test")
    logits = np.zeros((len(rows), len(corpus.hashtags)))
    for (at, row), j in itertools.product(enumerate(rows), range(len(corpus.hashtags))):
        y, p = w["hashtag"][j], []
        for modality in model.modalities:
            feature = corpus.dataset.feature(f"{modality}-steps")
            stored = feature.row(int(posts.rows[row])).astype(float)
            x = vector_of(model, modality, stored, y)
            p.append(np.zeros(len(y)) if x is None else x * y)
        hidden = np.concatenate(p)
        for depth in range(model.config.layers):
            weight, bias = (w[f"interaction.layers.{depth}.{k}"] for k in ("weight", "bias"))
            hidden = relu(weight @ hidden + bias)
        logits[at, j] = w["interaction.weight"] @ hidden
    return logits


@pytest.mark.parametrize("pooling", POOLINGS)
def test_equations_against_numpy(corpus: Corpus, pooling: str) -> None:
    model = built(corpus, pooling=pooling)
    posts = some(corpus, 14)
    there = torch.stack([posts.steps[f"{m}-steps"].mask.any(1) for m in model.modalities], 1)
    assert there.all(1).any()
    assert (~there).any(0).all()  # each modality is missing somewhere
    found = model.scored(posts)
    np.testing.assert_allclose(
        found, reference(model, corpus, list(range(14))), rtol=1e-4, atol=1e-5
    )
    every = torch.arange(len(corpus.hashtags)).expand(14, -1)
    torch.testing.assert_close(model.score_pairs(model.encode(posts), every), found)


@pytest.mark.parametrize(
    "chosen", [c for n in (1, 2) for c in itertools.combinations(WIDTHS, n)], ids="+".join
)
def test_any_modalities_train_and_serve(corpus: Corpus, chosen: tuple[str, ...]) -> None:
    features = [f"{modality}-steps" for modality in chosen]
    fewer = open_corpus(corpus.dataset, "main", features, reads="sequence")
    model = built(fewer)
    assert model.modalities == chosen
    np.testing.assert_allclose(
        model.scored(some(fewer, 4)), reference(model, fewer, [0, 1, 2, 3]), rtol=1e-4, atol=1e-5
    )
    gradients(model.train(), training_batch(fewer))


def test_a_missing_modality_does_not_vote(corpus: Corpus) -> None:
    """Its weights do not matter to a post that lacks it, and move the others."""
    model = built(corpus)
    posts = some(corpus, 14)
    lacks = ~posts.steps["visual-steps"].mask.any(1)
    before = model.scored(posts)
    with torch.no_grad():
        for parameter in model.views["visual"].parameters():
            parameter += 0.3
    after = model.scored(posts)
    assert torch.equal(before[lacks], after[lacks])
    assert not torch.isclose(before[~lacks], after[~lacks]).all(1).any()


def test_vectors_are_sequences_of_one_step(dataset: Dataset) -> None:
    vectors = open_corpus(dataset, "main", reads="sequence")
    model = built(vectors)
    assert model.modalities == ("visual", "textual")
    weights = model.attention_of(some(vectors, 4), torch.zeros(4, 2, dtype=torch.int64))
    assert {m: tuple(w.shape) for m, w in weights.items()} == {
        "visual": (4, 2, 1), "textual": (4, 2, 1),
    }  # fmt: skip
    assert torch.isfinite(model.scored(some(vectors))).all()


def test_losses_against_loops(corpus: Corpus) -> None:
    """Both losses of a batch from NumPy vectors and scores, a pair at a time."""
    model = built(corpus, dropout=0.0)
    batch = training_batch(corpus, 6)
    y = model.hashtag.detach().double().numpy()
    m = len(batch.positives)
    x, there = np.zeros((m, 3, model.config.dim)), np.zeros((m, 3), dtype=bool)
    for r, (k, modality) in itertools.product(range(m), enumerate(model.modalities)):
        steps = batch.posts.steps[f"{modality}-steps"]
        owner = int(batch.owner[r])
        rows = steps.values[owner][steps.mask[owner]].double().numpy()
        found = vector_of(model, modality, rows, y[int(batch.positives[r])])
        there[r, k] = found is not None
        x[r, k] = 0 if found is None else found
    of_view = naive_view_loss(x, there, batch.positives.tolist(), 0.05)
    scores = model.scored(batch.posts).double().numpy()
    terms = []
    for r in range(m):
        own = scores[int(batch.owner[r])]
        terms.append(-np.log(sigmoid(own[int(batch.positives[r])])))
        terms += [-np.log(1 - sigmoid(own[j])) for j in batch.negatives[r].tolist()]
    assert float(model.loss(batch).detach()) == pytest.approx(of_view, rel=1e-4)
    model.after_backward(last=False)
    assert float(model.loss(batch).detach()) == pytest.approx(np.mean(terms), rel=1e-4)
    both = built(corpus, dropout=0.0, alternate=False)
    assert float(both.loss(batch).detach()) == pytest.approx(of_view + np.mean(terms), rel=1e-4)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("alternate", [True, False])
def test_gradients_are_finite_where_nothing_is_there(
    corpus: Corpus, pooling: str, alternate: bool
) -> None:
    model = built(corpus, pooling=pooling, alternate=alternate).train()
    batch = training_batch(corpus)
    nothing = {
        name: Steps(torch.zeros_like(s.values), torch.zeros_like(s.mask))
        for name, s in batch.posts.steps.items()
    }
    assert any(not s.mask.any(1).all() for s in batch.posts.steps.values())
    gradients(model, batch)
    model.zero_grad(set_to_none=True)
    gradients(model, replace(batch, posts=replace(batch.posts, steps=nothing)))


def test_steps_alternate(corpus: Corpus) -> None:
    """Odd steps teach the vectors alone, even ones the NCF too."""
    model, batch = built(corpus).train(), training_batch(corpus)
    for step in range(1, 5):
        model.zero_grad(set_to_none=True)
        model.loss(batch).backward()
        model.after_backward(last=False)
        assert (model.interaction.weight.grad is None) == (step % 2 == 1)
        assert model.views["visual"].lstm.weight_ih_l0.grad is not None


def test_steps_are_counted_without_reading_the_device(corpus: Corpus) -> None:
    """The count is read once after loading, and goes on from there."""

    class Counted(torch.Tensor):
        """Says how often it was read."""

        reads = 0

        def __int__(self) -> int:
            Counted.reads += 1
            return int(self.as_subclass(torch.Tensor).item())

    model, batch = built(corpus).train(), training_batch(corpus)
    for restore in (None, "load_tensors", "load_state_dict"):
        if restore is not None:
            state = {name: value.clone() for name, value in model.state_dict().items()}
            state["steps_done"] = torch.tensor(7)
            getattr(model, restore)(state)
        model.steps_done = model.steps_done.as_subclass(Counted)
        Counted.reads = 0
        for step in range(4):
            model.zero_grad(set_to_none=True)
            model.loss(batch).backward()
            model.after_backward(last=False)
            on_view = model.interaction.weight.grad is None
            assert on_view == ((step + (7 if restore else 0)) % 2 == 0)
        assert Counted.reads == (restore is not None)
        assert int(model.steps_done) == 4 + (7 if restore else 0)


def test_hashtags_heed_other_steps(corpus: Corpus) -> None:
    model = built(corpus)
    posts = some(corpus)
    weights = model.attention_of(posts, torch.tensor([[0, 1, 2]]).expand(12, -1))
    assert list(weights) == list(WIDTHS)
    for modality, shares in weights.items():
        mask = posts.steps[f"{modality}-steps"].mask
        assert shares.shape == (12, 3, mask.shape[1])
        assert not shares.masked_select(~mask.unsqueeze(1)).any()
        torch.testing.assert_close(shares.sum(2), mask.any(1, keepdim=True).float().expand(-1, 3))
        long = mask.sum(1) > 1
        assert not torch.allclose(shares[long, 0], shares[long, 1])
    nobody_asks = built(corpus, pooling="max")
    assert nobody_asks.attention_of(posts, torch.zeros(12, 1, dtype=torch.int64)) == {}


def test_padding_changes_nothing(corpus: Corpus) -> None:
    posts = some(corpus)
    longer = {
        name: Steps(
            torch.cat([s.values, torch.full_like(s.values[:, :1], 7.0)], 1),
            torch.cat([s.mask, torch.zeros_like(s.mask[:, :1])], 1),
        )
        for name, s in posts.steps.items()
    }
    for pooling in POOLINGS:
        model = built(corpus, pooling=pooling)
        torch.testing.assert_close(model.scored(posts), model.scored(replace(posts, steps=longer)))


def trained(
    corpus: Corpus, folder: Path, stop: int | None = None, resume: bool = False
) -> tuple[Logo, Progress]:
    """Four epochs of an odd number of steps, or `stop` of them."""
    torch.manual_seed(3)
    model = build("logo", SMALL, Sizes.of(corpus.training))
    assert isinstance(model, Logo)
    model.fit(corpus.training)
    config = TrainingConfig(
        epochs=stop or 4, patience=9, batch_size=40, negatives=6, learning_rate=1e-2
    )
    folder.mkdir(exist_ok=True)
    seen = iter(range(100))
    progress = train(
        model, corpus.training, config, lambda _: {"recall@10": float(next(seen) + 100 * resume)},
        settings={}, checkpoint=folder / "checkpoint.safetensors", resume=resume,
    )  # fmt: skip
    return model, progress


def test_training_is_deterministic_and_resumes_within_an_alternation(
    corpus: Corpus, tmp_path: Path
) -> None:
    whole, progress = trained(corpus, tmp_path / "whole")
    again, _ = trained(corpus, tmp_path / "again")
    killed, _ = trained(corpus, tmp_path / "killed", stop=1)
    assert int(killed.steps_done) % 2 == 1  # the next step is one on the NCF
    resumed, further = trained(corpus, tmp_path / "killed", resume=True)
    assert int(whole.steps_done) == int(resumed.steps_done) == 4 * int(killed.steps_done)
    for name, value in whole.tensors().items():
        assert torch.equal(value, again.tensors()[name]), name
        assert torch.equal(value, resumed.tensors()[name]), name
    losses = [row["loss"] for row in progress.history]
    assert losses == [row["loss"] for row in further.history]


def test_learns_what_the_features_tell(dataset: Dataset, tmp_path: Path) -> None:
    """Topics are in the features; popularity has 0.3 of the first two right."""
    corpus = open_corpus(dataset, "main", reads="sequence")
    torch.manual_seed(0)
    settings = {"dim": 64, "hidden_visual": 48, "hidden_textual": 48, "dropout": 0.1}
    model = build("logo", settings, Sizes.of(corpus.training))
    assert isinstance(model, Logo)
    model.fit(corpus.training)

    def ahead(_: object = None) -> dict[str, float]:
        model.eval()
        part = corpus.part("test")
        scores = model.scored(corpus.batch(part, torch.arange(len(part))))
        own = torch.zeros_like(scores, dtype=torch.bool)
        own[part.hashtags.row_of_value, part.hashtags.values] = True
        first = own.gather(1, scores.topk(2, 1).indices)
        return {"recall@10": float(first.float().mean())}

    config = TrainingConfig(epochs=20, patience=20, batch_size=16, negatives=6, learning_rate=5e-3)
    train(model, corpus.training, config, ahead, settings={}, checkpoint=tmp_path / "checkpoint")
    assert ahead()["recall@10"] > 0.5


class SequenceContract(TrainedContract):
    """The contract on data with sequences."""

    settings = SMALL
    uses_users = False

    def test_has_finite_gradients(self, corpus: Corpus) -> None:
        torch.manual_seed(0)
        model = build(self.name, self.settings, Sizes.of(corpus.training))
        assert isinstance(model, Logo)
        model.fit(corpus.training)
        gradients(model, training_batch(corpus, 16))


class TestLogo(SequenceContract):
    name = "logo"


class TestShortlist(SequenceContract):
    """The option of two stages keeps the contract, but for pairs outside the shortlist."""

    name = "logo"
    settings: ClassVar[dict[str, Any]] = {**SMALL, "shortlist": 20}

    @pytest.mark.skip(reason="pairs are scored exactly, the rest of the catalogue is not")
    def test_pairs_score_as_the_catalogue_does(self) -> None: ...


class TestLogoA(SequenceContract):
    name = "logo-a"


class TestLogoM(SequenceContract):
    name = "logo-m"


class TestLogoL(SequenceContract):
    name = "logo-l"
