"""Negatives are uniform over the hashtags a post does not carry, and exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reeltag.data.negatives import NegativeSampler
from reeltag.data.ragged import Ragged
from reeltag.errors import DatasetError


def ragged(rows: list[set[int]]) -> Ragged:
    owner = torch.tensor([n for n, row in enumerate(rows) for _ in row], dtype=torch.int64)
    values = torch.tensor([v for row in rows for v in row], dtype=torch.int64)
    return Ragged.from_pairs(owner, values, len(rows))


posts = st.integers(2, 12).flatmap(
    lambda hashtags: st.tuples(
        st.just(hashtags),
        st.lists(
            st.sets(st.integers(0, hashtags - 1), max_size=hashtags - 1), min_size=1, max_size=6
        ),
    )
)


@given(posts, st.integers(0, 1000))
def test_never_draws_a_positive(case: tuple[int, list[set[int]]], seed: int) -> None:
    hashtags, rows = case
    sampler = NegativeSampler(ragged(rows), hashtags)
    generator = torch.Generator().manual_seed(seed)
    index = torch.arange(len(rows))
    drawn = sampler.draw(index, 20, generator)
    for row, found in zip(rows, drawn.tolist(), strict=True):
        assert not row & set(found)
        assert all(0 <= tag < hashtags for tag in found)


@given(posts, st.integers(0, 1000))
def test_distinct_draws_are_all_negatives_once(case: tuple[int, list[set[int]]], seed: int) -> None:
    hashtags, rows = case
    sampler = NegativeSampler(ragged(rows), hashtags)
    drawn = sampler.draw_distinct(
        torch.arange(len(rows)), 1000, torch.Generator().manual_seed(seed)
    )
    for row, found in zip(rows, drawn.tolist(), strict=True):
        kept = [tag for tag in found if tag >= 0]
        assert sorted(kept) == sorted(set(range(hashtags)) - row)


def test_draws_are_uniform() -> None:
    sampler = NegativeSampler(ragged([{0, 3, 4, 9}]), 12)
    generator = torch.Generator().manual_seed(0)
    counts = torch.bincount(sampler.draw(torch.tensor([0]), 80_000, generator)[0], minlength=12)
    outside = np.delete(counts.numpy(), [0, 3, 4, 9])
    # 8 negatives, 10,000 expected each; 4.5 standard deviations are about 420.
    assert abs(outside - 10_000).max() < 420
    one = torch.tensor([0])  # draws of one call share an order, so each is a call of its own
    distinct = torch.cat([sampler.draw_distinct(one, 2, generator) for _ in range(4000)])
    counts = torch.bincount(distinct.reshape(-1), minlength=12)
    assert abs(np.delete(counts.numpy(), [0, 3, 4, 9]) - 1000).max() < 140


def test_a_post_with_every_hashtag_is_refused() -> None:
    with pytest.raises(DatasetError, match="carries all 3 hashtags"):
        NegativeSampler(ragged([{0, 1, 2}]), 3)
