"""Chances: maximum likelihood, order kept, hard cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reeltag.models.layers.chances import Chances


def test_the_line_is_found_again() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=40_000)
    right = rng.random(40_000) < 1 / (1 + np.exp(-(1.7 * raw - 2.5)))
    chances = Chances()
    chances.fit(torch.from_numpy(raw), torch.from_numpy(right))
    a, b = chances.line.tolist()
    assert a == pytest.approx(1.7, abs=0.05)
    assert b == pytest.approx(-2.5, abs=0.05)
    found = chances(torch.from_numpy(raw))
    assert float(found.mean()) == pytest.approx(right.mean(), abs=1e-4)


def test_a_higher_score_has_a_higher_chance() -> None:
    chances = Chances()
    raw = torch.tensor([[0.1, 0.4], [0.2, 0.9]])  # the right ones lie above the wrong one
    chances.fit(raw, torch.tensor([[False, True], [True, True]]))
    found = chances(torch.linspace(-3, 3, 50))
    assert (found.diff() > 0).all()


@pytest.mark.parametrize(
    ("raw", "right"),
    [
        ([0.3, 0.1], [True, True]),
        ([0.3, 0.1], [False, False]),
        ([2.0, 1.0, 2.0, 1.0, -1.0], [False, True, False, True, True]),  # the other way round
    ],
)
def test_what_teaches_nothing_changes_nothing(raw: list[float], right: list[bool]) -> None:
    chances = Chances()
    chances.fit(torch.tensor(raw), torch.tensor(right))
    assert chances.line.tolist() == [1.0, 0.0]


def test_a_clean_cut_is_not_certain() -> None:
    chances = Chances()
    chances.fit(torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([False, False, True, True]))
    found = chances(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    assert 0.1 < found[0] < found[1] < 0.5 < found[2] < found[3] < 0.9


def test_rare_and_steep_rights_are_no_trap() -> None:
    """As trees give them: 1 in 100 right, raw scores far below 0; a Newton step overshoots."""
    rng = np.random.default_rng(1)
    raw = rng.gamma(2.0, 2.0, size=50_000) - 9
    truth = 1 / (1 + np.exp(-(0.8 * raw + 0.3)))
    right = rng.random(50_000) < truth
    chances = Chances()
    chances.fit(torch.from_numpy(raw), torch.from_numpy(right))
    assert float((chances(torch.from_numpy(raw)) - torch.from_numpy(truth)).abs().max()) < 0.05
