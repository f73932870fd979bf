"""The inverted index against dense tables, in one go and in many."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from reeltag.data.ragged import Ragged
from reeltag.models.layers import list_sums, postings
from reeltag.models.layers.postings import Postings, Shares
from tests.models.captioned import idf_vectors, rows_of


def random_rows(count: int, terms: int, seed: int) -> Ragged:
    table = torch.rand(count, terms, generator=torch.Generator().manual_seed(seed)) < 0.3
    rows, values = table.nonzero(as_tuple=True)
    return Ragged.from_pairs(rows, 7 * values + 3, count)


@pytest.mark.parametrize("at_once", [1, 20, 1 << 24])
def test_cosines_are_those_of_dense_vectors(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(list_sums, "_AT_ONCE", at_once)
    train, posts = random_rows(30, 40, 0), random_rows(9, 50, 1)
    index = Postings()
    index.fit(train)
    dense = idf_vectors(rows_of(train), rows_of(posts)) @ idf_vectors(*[rows_of(train)] * 2).T
    np.testing.assert_allclose(index(posts).numpy(), dense, atol=1e-6)


def test_only_the_posts_kept_are_listed() -> None:
    train, kept = random_rows(30, 40, 0), torch.tensor([3, 17, 4])
    whole, some = Postings(), Postings()
    whole.fit(train)
    some.fit(train, kept)
    torch.testing.assert_close(some(train), whole(train)[:, kept])


def test_an_empty_index_says_nothing() -> None:
    index = Postings()
    index.fit(Ragged.empty(4))
    assert index(random_rows(3, 5, 0)).tolist() == [[0.0] * 4] * 3


def test_shares_sum_the_importance_of_common_terms() -> None:
    index = Shares()
    index.fit(Ragged(torch.tensor([5, 9, 5]), torch.tensor([0, 2, 3, 3])),
              torch.tensor([1.0, 3.0, 2.0]))  # fmt: skip
    posts = Ragged(torch.tensor([5, 6, 9, 5]), torch.tensor([0, 2, 4]))
    torch.testing.assert_close(index(posts), torch.tensor([[0.25, 1.0, 0.0], [1.0, 1.0, 0.0]]))


@pytest.mark.parametrize("recent", [0, 12, 1 << 14])
def test_added_rows_are_listed_as_fitted_ones_are(
    monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    monkeypatch.setattr(postings, "_RECENT", recent)
    train, more, posts = random_rows(30, 40, 0), random_rows(9, 50, 1), random_rows(6, 50, 2)
    whole, grown = Postings(), Postings()
    whole.fit(train)
    grown.fit(train)
    whole.store(39, *whole._weighed(train.joined(more)))
    for row in torch.arange(9).split(1):
        grown.add(more.select(row))
    assert torch.equal(grown(posts), whole(posts))
    again = copy.deepcopy(grown)
    again.fit(train)
    assert again(posts).shape == (6, 30)
    stored = grown.state_dict()
    assert not len(grown.recent_terms)
    for name, value in whole.state_dict().items():
        assert torch.equal(stored[name], value), name
    assert torch.equal(grown(posts), whole(posts))


def test_added_shares_may_have_new_terms() -> None:
    index = Shares()
    index.fit(Ragged(torch.tensor([5, 9]), torch.tensor([0, 1, 2])), torch.ones(2))
    index.add(Ragged(torch.tensor([7, 9, 5, 1]), torch.tensor([0, 2, 4])), lambda n: 1.0 / n)
    posts = Ragged(torch.tensor([5, 9, 1]), torch.tensor([0, 2, 3]))
    expected = torch.tensor([[1.0, 1.0, 1 / 3, 1 / 3], [0.0, 0.0, 0.0, 2 / 3]])
    torch.testing.assert_close(index(posts), expected)
