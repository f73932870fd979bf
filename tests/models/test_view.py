"""One modality's way to a vector: masks, recurrence and pooling against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from reeltag.data.corpus import Corpus
from reeltag.models.layers.view import View, pool, recurrence
from tests.models.sequenced import POOLINGS, SMALL, WIDTHS, built, corpus

__all__ = ["corpus"]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_masks_against_packed_sequences(pooling: str) -> None:
    torch.manual_seed(0)
    view = View(5, 7, 6, pooling, 8, 0.0).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in view.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    lengths = torch.tensor([4, 1, 3, 2])
    mask = torch.arange(4) < lengths.unsqueeze(1)
    values = torch.randn(4, 4, 5)  # what lies behind the mask is not zero
    packed, _ = view.lstm(
        pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
    )
    hidden, _ = pad_packed_sequence(packed, batch_first=True)
    for states in (view.states(values), view.lstm(values)[0]):
        torch.testing.assert_close(states[mask], hidden[mask])
    y = torch.randn(4, 3, 6)
    found = view.pairs(view.encode(values, mask), y)
    for row, length in enumerate(lengths.tolist()):
        h = hidden[row, :length]
        if view.attention is not None:
            keys = view.attention.keys(h)
            asked = view.attention.queries(y[row])
            a = torch.relu(keys.unsqueeze(0) + asked.unsqueeze(1)) @ view.attention.weight
            pooled = torch.softmax(a, 1) @ h
        else:
            pooled = {"mean": h.mean(0), "max": h.amax(0), "last": h[-1]}[pooling].expand(3, -1)
        expected = view.tower.rest(view.tower.first(pooled))
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5)


def test_recurrence_has_the_gradients_of_torchs_own() -> None:
    torch.manual_seed(0)
    lstm, values = torch.nn.LSTM(5, 7, batch_first=True), torch.randn(3, 4, 5)
    weight, found = torch.randn(3, 4, 7), []
    for states in (recurrence(lstm, values), lstm(values)[0]):
        lstm.zero_grad()
        (states * weight).sum().backward()
        found.append((states, *(p.grad for p in lstm.parameters())))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_pools_of_nothing_are_zeros() -> None:
    hidden, nothing = torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool)
    for how in ("mean", "max", "last"):
        assert not pool(hidden, nothing, how).any()


def test_one_step_is_heeded_alone(corpus: Corpus) -> None:
    """What training spares for vectors, against the attention it spares."""
    model = built(corpus, dropout=0.0)
    view = model._view("visual")
    hidden, hashtags = torch.randn(9, 1, WIDTHS["visual"]), torch.randn(9, 4, SMALL["dim"])
    mask = torch.arange(9).unsqueeze(1) % 3 > 0
    kept = view.encode(hidden, mask)
    assert view.attention is not None
    queries = view.attention.queries(hashtags)
    weights = view.attention.pairs(kept["key"], queries, kept["mask"])
    expected = view.tower.rest(weights @ kept["step"])
    torch.testing.assert_close(view.pairs(kept, hashtags), expected)
