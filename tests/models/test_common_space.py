"""The loss that brings views together, against double loops."""

from __future__ import annotations

import pytest
import torch

from reeltag.models.layers.common_space import view_loss
from tests.models.sequenced import naive_view_loss


def test_view_loss_against_double_loops() -> None:
    torch.manual_seed(0)
    x, there = torch.randn(30, 3, 4, dtype=torch.float64), torch.rand(30, 3) < 0.7
    there[3] = False
    hashtags = torch.randint(100, 106, (30,))
    for weight in (0.0, 0.05, 2.0):
        expected = naive_view_loss(x.numpy(), there.numpy(), hashtags.tolist(), weight)
        assert float(view_loss(x, there, hashtags, weight)) == pytest.approx(expected)


def test_view_loss_is_exact_where_vectors_nearly_agree() -> None:
    """Far from the origin and close together: the plain identity would cancel to noise."""
    torch.manual_seed(0)
    x = 100 + 1e-3 * torch.randn(40, 1, 8)
    there, hashtags = torch.ones(40, 1, dtype=torch.bool), torch.arange(40) % 3
    expected = naive_view_loss(x.double().numpy(), there.numpy(), hashtags.tolist(), 1.0)
    assert float(view_loss(x, there, hashtags, 1.0)) == pytest.approx(expected, rel=1e-3)


def test_view_loss_without_any_pair_is_zero_with_a_gradient() -> None:
    x = torch.randn(3, 1, 4, requires_grad=True)
    loss = view_loss(x, torch.ones(3, 1, dtype=torch.bool), torch.arange(3), 0.05)
    loss.backward()
    assert float(loss.detach()) == 0
    assert x.grad is not None
    assert not x.grad.any()
