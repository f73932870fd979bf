"""Scores of the whole catalogue: as by pairs, in any blocks, after any change."""

from __future__ import annotations

import pytest
import torch

from reeltag.data.batches import Steps
from reeltag.data.corpus import Corpus
from reeltag.models.layers import catalogue
from tests.models.sequenced import POOLINGS, WIDTHS, built, corpus, some, training_batch

__all__ = ["corpus"]


@pytest.mark.parametrize("single", [("visual",), ("visual", "textual"), tuple(WIDTHS)])
@pytest.mark.parametrize("rows", [2, 40, 4000])
def test_modalities_of_one_step_are_scored_as_by_pairs(
    corpus: Corpus, single: tuple[str, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the catalogue spares for them, against the layers that training uses."""
    monkeypatch.setattr(catalogue, "ROWS", rows)
    model, posts = built(corpus), some(corpus, 14)
    for modality in single:
        steps = posts.steps[f"{modality}-steps"]
        posts.steps[f"{modality}-steps"] = Steps(steps.values[:, :1], steps.mask[:, :1])
    encoded = model.encode(posts)
    hashtags = model.hashtag.expand(14, -1, -1)
    with torch.no_grad():
        expected = model._logits(*model._pairs(encoded, hashtags), hashtags)
    torch.testing.assert_close(model.score_all(encoded), expected, rtol=1e-4, atol=1e-5)
    every = torch.arange(len(corpus.hashtags)).flip(0).expand(14, -1)
    torch.testing.assert_close(
        model.score_pairs(encoded, every), expected.flip(1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_blocks_do_not_change_scores(
    corpus: Corpus, pooling: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(corpus, pooling=pooling)
    expected = model.scored(some(corpus))
    monkeypatch.setattr(catalogue, "ROWS", rows)
    torch.testing.assert_close(model.scored(some(corpus)), expected)
    candidates = torch.randint(len(corpus.hashtags), (12, 9))
    found = model.score_pairs(model.encode(some(corpus)), candidates)
    torch.testing.assert_close(found, expected.gather(1, candidates))


def test_scores_follow_the_parameters(corpus: Corpus) -> None:
    """What is kept of all hashtags is not used after they have changed."""
    model, posts = built(corpus), some(corpus)
    before = model.scored(posts)
    with torch.no_grad():
        model.hashtag += 0.5
    changed = model.scored(posts)
    assert not torch.isclose(before, changed).all()
    fresh = built(corpus)
    fresh.load_tensors(model.tensors())
    assert torch.equal(fresh.scored(posts), changed)
    optimiser = torch.optim.Adam(model.parameters(), fused=True)
    model.loss(training_batch(corpus)).backward()
    optimiser.step()
    fresh.scored(posts)
    fresh.load_tensors(model.tensors())
    assert torch.equal(fresh.scored(posts), model.scored(posts))
