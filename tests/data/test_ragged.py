"""Ragged lists against plain Python lists."""

from __future__ import annotations

from itertools import pairwise
from unittest.mock import patch

import torch
from hypothesis import given
from hypothesis import strategies as st

from reeltag.data import ragged as module
from reeltag.data.ragged import Ragged, inserted

lists = st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=8)


def build(rows: list[list[int]]) -> Ragged:
    owner = torch.tensor([n for n, row in enumerate(rows) for _ in row], dtype=torch.int64)
    values = torch.tensor([v for row in rows for v in row], dtype=torch.int64)
    return Ragged.from_pairs(owner, values, len(rows))


def plain(ragged: Ragged) -> list[list[int]]:
    bounds = ragged.offsets.tolist()
    return [ragged.values[a:b].tolist() for a, b in pairwise(bounds)]


@given(lists)
def test_round_trip(rows: list[list[int]]) -> None:
    assert plain(build(rows)) == rows
    assert build(rows).lengths.tolist() == [len(row) for row in rows]


@given(lists, st.data())
def test_select_and_positions(rows: list[list[int]], data: st.DataObject) -> None:
    index = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    ragged, chosen = build(rows), torch.tensor(index, dtype=torch.int64)
    assert plain(ragged.select(chosen)) == [rows[n] for n in index]
    positions, owner = ragged.positions(chosen)
    assert ragged.values[positions].tolist() == [v for n in index for v in rows[n]]
    assert owner.tolist() == [place for place, n in enumerate(index) for _ in rows[n]]


@given(lists)
def test_padded_and_dense(rows: list[list[int]]) -> None:
    padded = build(rows).padded(-1).tolist()
    assert [[v for v in row if v >= 0] for row in padded] == rows
    dense = build(rows).dense(10)
    assert [set(row.nonzero().squeeze(1).tolist()) for row in dense] == [set(row) for row in rows]


def test_lists_made_ragged_are_themselves() -> None:
    rows = Ragged.from_lists([[3, 1], [], [2]])
    assert rows.values.tolist() == [3, 1, 2]
    assert rows.offsets.tolist() == [0, 2, 2, 3]
    assert len(Ragged.from_lists([])) == 0


@given(lists, lists, st.data())
def test_growing(rows: list[list[int]], more: list[list[int]], data: st.DataObject) -> None:
    ragged = build(rows)
    assert plain(ragged.longer(len(rows) + 2)) == [*rows, [], []]
    assert plain(ragged.joined(build(more))) == rows + more
    into = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6))
    grown = ragged.with_added(
        torch.tensor(into, dtype=torch.int64), 10 + torch.arange(len(into), dtype=torch.int64)
    )
    added = [[10 + n for n, where in enumerate(into) if where == row] for row in range(len(rows))]
    assert plain(grown) == [old + new for old, new in zip(rows, added, strict=True)]


@given(st.lists(st.integers(0, 9), max_size=8), st.data())
def test_inserted(table: list[int], data: st.DataObject) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(table)), max_size=5)))
    expected = list(table)
    for number, place in reversed(list(enumerate(places))):
        expected.insert(place, 10 + number)
    entries = 10 + torch.arange(len(places))
    with patch.object(module, "_STRETCH", data.draw(st.sampled_from([1, 2, 1000]))):
        found = inserted(torch.tensor(table), torch.tensor(places, dtype=torch.int64), entries)
    assert found.tolist() == expected
