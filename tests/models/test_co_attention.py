"""Co-Attention against its equations, one word and one frame at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.feature import Manifest
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes
from reeltag.models.layers.step_attention import StepAttention
from reeltag.models.registry import build
from tests.models.sequenced import lstm, part
from tests.models.softmax_contract import SoftmaxContract, Weights, sequences

__all__ = ["sequences"]


def chosen(w: Weights, steps: list[np.ndarray], asks: np.ndarray | None) -> np.ndarray:
    """Σ α_s x_s of an attention with weights `w`."""
    asked = w["queries.weight"] @ asks if asks is not None and "queries.weight" in w else 0.0
    a = [w["weight"] @ np.tanh(w["keys.weight"] @ x + w["keys.bias"] + asked) for x in steps]
    e = np.exp(np.array(a) - max(a))
    return sum(share * x for share, x in zip(e / e.sum(), steps, strict=True))


class TestCoAttention(SoftmaxContract):
    name = "co-attention"
    settings = {"dim": 6, "attention": 5}  # noqa: RUF012
    reads = ("visual", "textual")

    def state(self, model: Any, w: Weights, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        total = np.zeros(6)
        asks: np.ndarray | None = None
        words: list[np.ndarray] = []
        if len(rows.get("textual", ())):
            words = lstm(part(dict(w), "words."), rows["textual"])
            asks = np.mean(words, 0)
        if len(rows.get("visual", ())):
            frames = [np.tanh(w["frames.weight"] @ f + w["frames.bias"]) for f in rows["visual"]]
            asks = chosen(part(dict(w), "attend.visual."), frames, asks)
            total = total + asks
        elif "visual" in rows:
            asks = None
        if words:
            total = total + chosen(part(dict(w), "attend.textual."), words, asks)
        return total

    def test_a_missing_modality_does_not_vote(self, sequences: Corpus) -> None:
        """Words and frames have layers of other names than the modalities."""
        posts = sequences.batch(sequences.part("test"), torch.arange(14))
        for modality, layers in {"visual": ("frames.", "attend.visual."),
                                 "textual": ("words.", "attend.textual.")}.items():  # fmt: skip
            model = self.built(sequences)
            lacks = ~posts.steps[f"{modality}-steps"].mask.any(1)
            before = model.scored(posts)
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if name.startswith(layers):
                        parameter += 0.3
            after = model.scored(posts)
            # Frames that are there choose by words, if there are any.
            assert torch.equal(before[lacks], after[lacks])
            assert not torch.isclose(before[~lacks], after[~lacks]).all(1).any()

    def test_words_and_frames_guide_each_other(self, sequences: Corpus) -> None:
        """Weights of frames depend on the words, weights of words on the frames."""
        model = self.built(sequences)
        posts = sequences.batch(sequences.part("test"), torch.arange(14))
        many = {m: posts.steps[f"{m}-steps"].mask.sum(1) > 1 for m in self.reads}
        both = torch.stack([posts.steps[f"{m}-steps"].mask.any(1) for m in self.reads]).all(0)
        before = {m: weights for m, (_, weights) in model.attended(posts).items()}
        for asking, asked in (("textual", "visual"), ("visual", "textual")):
            posts.steps[f"{asking}-steps"].values.neg_()
            after = model.attended(posts)[asked][1]
            posts.steps[f"{asking}-steps"].values.neg_()
            rows = many[asked] & both
            assert rows.any()
            assert not torch.isclose(before[asked][rows], after[rows]).all(1).any()


def test_weights_are_shares_of_the_valid_steps() -> None:
    torch.manual_seed(0)
    layer = StepAttention(4, 3, 5)
    mask = torch.tensor([[True, True, False], [False, False, False], [True, False, False]])
    mixed, weights = layer(torch.randn(3, 3, 4), mask, torch.randn(3, 3))
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 0.0, 1.0]))
    assert not weights[~mask].any()
    assert not mixed[1].any()


def test_refuses_sound_alone(sequences: Corpus) -> None:
    sound = open_corpus(sequences.dataset, "main", ["acoustic-steps"], reads="sequence")
    with pytest.raises(MissingFeatureError, match="no visual and no textual"):
        build("co-attention", {}, Sizes.of(sound.training))


def test_sound_is_left_alone(sequences: Corpus) -> None:
    manifests: dict[str, Manifest] = dict(sequences.training.manifests)
    model = build("co-attention", {}, Sizes(0, 5, manifests))
    assert not any("acoustic" in name for name in model.state_dict())
