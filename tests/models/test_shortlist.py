"""Scores in two stages: exact for the shortlist, below it for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from reeltag.data.batches import PostBatch
from reeltag.data.corpus import Corpus
from reeltag.models.contract import Sizes
from reeltag.models.layers import fused
from reeltag.models.layers.shortlist import Shortlist
from reeltag.models.layers.top import top_k
from reeltag.models.logo import Logo
from reeltag.models.registry import build
from tests.models.sequenced import SMALL, built, corpus, some

__all__ = ["corpus"]


def shortlisted(corpus: Corpus, count: int, **settings: Any) -> Logo:
    model = built(corpus, shortlist=count, **settings)
    model.refresh()
    return model.eval()


def exactly(model: Logo, posts: PostBatch) -> torch.Tensor:
    kept, model.shortlist = model.shortlist, None
    scores = model.scored(posts)
    model.shortlist = kept
    return scores


@pytest.mark.parametrize("pooling", ["attention", "mean"])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_shortlist_is_exact_and_above_the_rest(
    corpus: Corpus, pooling: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(fused, "available", lambda: False)
    model, posts = shortlisted(corpus, 5, pooling=pooling), some(corpus, 14)
    for steps in posts.steps.values():
        steps.mask[3] = False
    assert model.guess is not None
    assert model.guess.fitted
    exact, found = exactly(model, posts), model.scored(posts)
    first = found.topk(5, 1).indices
    torch.testing.assert_close(found.gather(1, first), exact.gather(1, first))
    rest = found.scatter(1, first, -torch.inf).amax(1)
    assert (rest < found.gather(1, first).amin(1)).all()
    assert torch.isfinite(found).all()
    nothing = ~torch.stack([s.mask.any(1) for s in posts.steps.values()]).any(0)
    assert nothing[3]
    # All alike: the shortlist has the first hashtags, as a stable sort of exact scores has.
    assert torch.equal(top_k(found[nothing], 5), top_k(exact[nothing], 5))


def test_a_shortlist_as_long_as_the_vocabulary_or_not_yet_fitted_is_exact(corpus: Corpus) -> None:
    posts = some(corpus)
    unfitted, whole = built(corpus, shortlist=3), shortlisted(corpus, len(corpus.hashtags))
    for model in (unfitted, whole):
        assert torch.equal(model.scored(posts), exactly(model, posts))


def test_a_shortlist_finds_the_best_of_scores_in_few_directions() -> None:
    torch.manual_seed(0)
    directions, mean = torch.randn(6, 400), torch.randn(400)
    scores = torch.randn(300, 6) @ directions + mean
    guess = Shortlist(400)
    guess.fit(scores[:200])
    assert len(guess.landmarks) == len(guess.landmarks.unique()) == 6
    torch.testing.assert_close(
        guess.guess(scores[200:, guess.landmarks]), scores[200:], rtol=0, atol=0.1
    )
    alike = Shortlist(400)
    alike.fit(scores[:1].expand(9, -1))
    assert not alike.fitted


def test_a_shortlist_is_stored_with_the_model_and_may_be_switched_off(
    corpus: Corpus, tmp_path: Path
) -> None:
    model, posts = shortlisted(corpus, 4), some(corpus)
    save_file(model.tensors(), tmp_path / "model.safetensors")
    other = build("logo", {**SMALL, "shortlist": 4}, Sizes.of(corpus.training)).eval()
    assert isinstance(other, Logo)
    other.load_tensors(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(other.scored(posts), model.scored(posts))
    other.refresh()  # without the training posts there is nothing to fit: it keeps what it has
    assert torch.equal(other.scored(posts), model.scored(posts))
    other.shortlist = None
    torch.testing.assert_close(other.scored(posts), built(corpus).scored(posts))
    assert not any(name.startswith("guess") for name in built(corpus).tensors())
