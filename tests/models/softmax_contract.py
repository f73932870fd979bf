"""What every model that ends in a softmax over hashtags must do besides being trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reeltag.data.batches import PostBatch, Steps
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.models.contract import Sizes
from reeltag.models.registry import build
from reeltag.models.softmax_model import SoftmaxModel
from tests.models.contract import TrainedContract
from tests.models.learning import beats_popularity, by_posts, rows_of, softmax_loss, taught
from tests.models.sequenced import with_sequences

Weights = Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The small dataset with 0 to 4 steps of each modality a post."""
    made = with_sequences(tmp_path_factory.mktemp("sequences") / "data")
    return open_corpus(made, "main", reads="sequence")


class SoftmaxContract(TrainedContract):
    """Inherit, set `name` and `settings`, and give the equations of a post's vector (`state`)."""

    uses_users = False
    reads: tuple[str, ...] = ("visual", "acoustic", "textual")
    quickly = 60
    """Steps in which it learns an easy rule."""

    def state(self, model: Any, w: Weights, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """z of a post from standardised steps (T, width) of each modality, T maybe 0."""
        raise NotImplementedError

    def besides(self, model: Any, w: Weights, posts: list[Mapping[str, np.ndarray]]) -> float:
        """What the loss adds to the softmax's."""
        return 0.0

    def built(self, corpus: Corpus, **settings: Any) -> SoftmaxModel:
        torch.manual_seed(5)
        model = build(self.name, {**self.settings, **settings}, Sizes.of(corpus.training))
        assert isinstance(model, SoftmaxModel)
        model.fit(corpus.training)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.5)
        return model.eval()

    def standardised(self, model: SoftmaxModel, posts: PostBatch) -> list[dict[str, np.ndarray]]:
        """Raw steps of each post, standardised by the model's stored statistics."""
        stored = {k: v.double().numpy() for k, v in model.input.state_dict().items()}
        found: list[dict[str, np.ndarray]] = []
        for row in range(len(posts)):
            found.append({})
            for name in model.modalities:
                key = f"{name}_" if f"{name}_mean" in stored else f"vectors.{name}."
                raw = rows_of(posts, name, row)
                found[-1][name] = (raw - stored[f"{key}mean"]) * stored[f"{key}scale"]
        return found

    def reference(self, model: SoftmaxModel, posts: PostBatch) -> np.ndarray:
        w = {k: v.double().numpy() for k, v in model.state_dict().items()}
        states = [self.state(model, w, rows) for rows in self.standardised(model, posts)]
        return np.array([w["out.weight"] @ z + w["out.bias"] for z in states])

    def test_scores_are_the_equations(self, sequences: Corpus) -> None:
        """Posts with 0 to 4 steps of each modality, in one padded batch."""
        model = self.built(sequences)
        posts = sequences.batch(sequences.part("test"), torch.arange(14))
        there = torch.stack([posts.steps[f"{m}-steps"].mask.any(1) for m in model.modalities], 1)
        assert (~there).any(0).all()
        assert there.all(1).any()
        found = model.scored(posts)
        np.testing.assert_allclose(found, self.reference(model, posts), rtol=1e-4, atol=1e-5)

    def test_scores_of_vectors_are_the_equations(self, corpus: Corpus, dataset: Dataset) -> None:
        vectors = open_corpus(dataset, "main", reads="sequence")
        model, posts = self.built(vectors), self.posts(vectors)
        np.testing.assert_allclose(
            model.scored(posts), self.reference(model, posts), rtol=1e-4, atol=1e-5
        )

    def test_loss_counts_each_hashtag_once(self, sequences: Corpus) -> None:
        model = self.built(sequences, dropout=0.0)
        batch = by_posts(sequences, torch.arange(9))
        w = {k: v.double().numpy() for k, v in model.state_dict().items()}
        expected = softmax_loss(self.reference(model, batch.posts), batch)
        expected += self.besides(model, w, self.standardised(model, batch.posts))
        assert float(model.loss(batch).detach()) == pytest.approx(expected, rel=1e-4)

    def test_what_lies_behind_masks_is_not_read(self, sequences: Corpus) -> None:
        model = self.built(sequences)
        posts = sequences.batch(sequences.part("test"), torch.arange(14))
        steps = {
            name: Steps(s.values.masked_fill(~s.mask.unsqueeze(2), 1e3), s.mask)
            for name, s in posts.steps.items()
        }
        torch.testing.assert_close(model.scored(replace(posts, steps=steps)), model.scored(posts))

    def test_all_masked_rows_have_finite_gradients(self, sequences: Corpus) -> None:
        model = self.built(sequences).train()
        batch = by_posts(sequences, torch.arange(12))
        silent = {
            name: Steps(s.values, torch.zeros_like(s.mask)) for name, s in batch.posts.steps.items()
        }
        for steps in (silent, batch.posts.steps):
            model.zero_grad()
            loss = model.loss(replace(batch, posts=replace(batch.posts, steps=steps)))
            loss.backward()  # type: ignore[no-untyped-call]
            assert torch.isfinite(loss)
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None, name
                assert torch.isfinite(parameter.grad).all(), name

    def test_a_missing_modality_does_not_vote(self, sequences: Corpus) -> None:
        """What a post lacks could be anything in the others: its score stays."""
        posts = sequences.batch(sequences.part("test"), torch.arange(14))
        for modality in self.reads:
            model = self.built(sequences)
            lacks = ~posts.steps[f"{modality}-steps"].mask.any(1)
            before = model.scored(posts)
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if f".{modality}." in name:
                        parameter += 0.3
            after = model.scored(posts)
            assert torch.equal(before[lacks], after[lacks]), modality
            assert not torch.isclose(before[~lacks], after[~lacks]).all(1).any(), modality

    def test_one_modality_is_enough(self, sequences: Corpus) -> None:
        for alone in self.reads:
            fewer = open_corpus(sequences.dataset, "main", [f"{alone}-steps"], reads="sequence")
            model = self.built(fewer)
            posts = fewer.batch(fewer.part("test"), torch.arange(12))
            np.testing.assert_allclose(
                model.scored(posts), self.reference(model, posts), rtol=1e-4, atol=1e-5
            )
            loss = model.train().loss(by_posts(fewer, torch.arange(12)))
            loss.backward()  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None, name

    def test_no_step_waits_for_the_device(self, sequences: Corpus) -> None:
        """On the meta device, reading a value or a size that depends on one is an error."""
        model = self.built(sequences).train().to("meta")
        model.loss(by_posts(sequences, torch.arange(12)).to("meta")).backward()  # type: ignore[no-untyped-call]
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_an_untrained_model_starts_from_popularity(self, corpus: Corpus) -> None:
        model = self.fitted(corpus)
        uses = corpus.training.posts.hashtags.dense(len(corpus.hashtags)).sum(0)
        share = model.out.bias.detach().exp()
        assert float(share.sum()) == pytest.approx(1, rel=1e-4)
        assert (share.argsort(stable=True) == uses.argsort(stable=True)).all()

    def test_learns_what_the_features_show(self, dataset: Dataset, tmp_path: Path) -> None:
        vectors = open_corpus(dataset, "main", reads="sequence")
        torch.manual_seed(3)
        model = build(self.name, self.settings, Sizes.of(vectors.training))
        assert isinstance(model, SoftmaxModel)
        model.fit(vectors.training)
        losses = taught(model, vectors, self.quickly)
        own, popular = beats_popularity(model, vectors)
        assert losses[-1] < losses[0]
        assert own > popular + 0.2
