"""WARP against a loop that tries one negative after the other."""

from __future__ import annotations

import math

import pytest
import torch

from reeltag.models.layers.warp import rank_weights, warp_loss


def naive(positive: list[float], negatives: list[list[float]], hashtags: int, m: float) -> float:
    total = 0.0
    for own, drawn in zip(positive, negatives, strict=True):
        for trial, other in enumerate(drawn, start=1):
            if other + m > own:
                rank = math.floor((hashtags - 1) / trial)
                total += sum(1 / r for r in range(1, rank + 1)) * (m - own + other)
                break
    return total / len(positive)


@pytest.mark.parametrize("hashtags", [2, 7, 1000])
@pytest.mark.parametrize("margin", [0.1, 1.0])
def test_equals_trying_in_turn(hashtags: int, margin: float) -> None:
    generator = torch.Generator().manual_seed(hashtags)
    positive = 2 * torch.randn(50, generator=generator, dtype=torch.float64)
    negatives = 2 * torch.randn(50, 8, generator=generator, dtype=torch.float64)
    expected = naive(positive.tolist(), negatives.tolist(), hashtags, margin)
    assert float(warp_loss(positive, negatives, hashtags, margin)) == pytest.approx(expected)


def test_no_violator_means_no_loss_and_no_gradient() -> None:
    positive = torch.tensor([5.0, 0.0], requires_grad=True)
    loss = warp_loss(positive, torch.tensor([[1.0, 2.0], [-2.0, -1.5]]), 10)
    loss.backward()
    assert float(loss.detach()) == 0
    assert positive.grad is not None
    assert not positive.grad.any()


def test_an_early_violator_weighs_more() -> None:
    positive = torch.zeros(1)
    early = warp_loss(positive, torch.tensor([[0.0, -9.0, -9.0]]), 100)
    late = warp_loss(positive, torch.tensor([[-9.0, -9.0, 0.0]]), 100)
    assert early > late > 0


def test_rank_weights_are_harmonic_numbers() -> None:
    torch.testing.assert_close(rank_weights(5), torch.tensor([0, 1, 1.5, 11 / 6, 25 / 12]))
