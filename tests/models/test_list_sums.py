"""Sums of lists: three ways to the same bits, against a dense product."""

from __future__ import annotations

import pytest
import torch

from reeltag.data.ragged import Ragged
from reeltag.models.layers import list_sums, steady
from reeltag.models.layers.list_sums import ListSums
from reeltag.models.layers.steady import sparse_product


def asked(posts: int) -> tuple[Ragged, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """40 lists of 25 columns; and who asks for which of them by what weight."""
    numbers = torch.Generator().manual_seed(0)
    lists, columns = (torch.rand(40, 25, generator=numbers) < 0.3).nonzero(as_tuple=True)
    weights = torch.rand(len(lists), generator=numbers)
    owner, term = (torch.rand(posts, 40, generator=numbers) < 0.4).nonzero(as_tuple=True)
    weight = torch.rand(len(owner), generator=numbers)
    return Ragged.from_pairs(lists, columns, 40), weights, owner, term, weight


@pytest.mark.parametrize("posts", [0, 1, 9])
@pytest.mark.parametrize("compiled", [False, True])
def test_lists_are_summed(posts: int, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_sums, "available", lambda: compiled)
    lists, weights, owner, term, weight = asked(posts)
    table, rows = torch.zeros(40, 25), torch.zeros(posts, 40)
    table[lists.row_of_value, lists.values] = weights
    rows[owner, term] = weight
    found = ListSums()(lists, weights, 25, posts, owner, term, weight)
    torch.testing.assert_close(found, rows @ table)
    into = torch.ones(posts, 25)
    assert ListSums()(lists, weights, 25, posts, owner, term, weight, into) is into
    torch.testing.assert_close(into, 1 + found)


def test_compiled_or_not_the_bits_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, weights, owner, term, weight = asked(9)
    sums = ListSums()
    compiled = sums(lists, weights, 25, 9, owner, term, weight)
    monkeypatch.setattr(list_sums, "available", lambda: False)
    assert torch.equal(sums(lists, weights, 25, 9, owner, term, weight), compiled)


@pytest.mark.parametrize("posts", [0, 1, 9])
def test_rows_are_added_at_their_columns(posts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, owner, row, weight = asked(posts)
    numbers = torch.Generator().manual_seed(1)
    table, start = torch.rand(40, 12, generator=numbers), torch.rand(25, generator=numbers)
    columns = torch.randperm(25, generator=numbers)[:12].sort().values
    left = Ragged.from_pairs(owner, row, posts)
    found = sparse_product(left, weight, table, columns, start)
    rows = torch.zeros(posts, 40)
    rows[owner, row] = weight
    whole = torch.zeros(40, 25)
    whole[:, columns] = table
    torch.testing.assert_close(found, start + rows @ whole)
    untouched = torch.ones(25, dtype=torch.bool)
    untouched[columns] = False
    assert torch.equal(found[:, untouched], start[untouched].expand(posts, -1))
    monkeypatch.setattr(steady, "available", lambda: False)
    assert torch.equal(sparse_product(left, weight, table, columns, start), found)
