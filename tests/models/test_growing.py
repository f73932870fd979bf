"""Tables that get longer, against plain Python."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from reeltag.data.ragged import Ragged
from reeltag.models.layers.growing import Room, by_use, longer, with_pairs

pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=12)


def counted(found: list[tuple[int, int]]) -> tuple[Ragged, torch.Tensor]:
    times = sorted(Counter(found).items())
    rows = torch.tensor([row for (row, _), _ in times], dtype=torch.int64)
    columns = torch.tensor([column for (_, column), _ in times], dtype=torch.int64)
    return Ragged.from_pairs(rows, columns, 5), torch.tensor([float(n) for _, n in times])


@given(pairs, pairs)
def test_pairs_seen_later_are_counted_as_if_seen_before(
    seen: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    rows, columns = (torch.tensor([p[n] for p in more], dtype=torch.int64) for n in (0, 1))
    table, counts = with_pairs(*counted(seen), rows, columns)
    expected, times = counted(seen + more)
    assert torch.equal(table.offsets, expected.offsets)
    assert torch.equal(table.values, expected.values)
    assert torch.equal(counts, times)


def test_rows_are_added_without_a_copy_while_there_is_room() -> None:
    room, table = Room(), torch.arange(6.0).view(3, 2)
    kept = table.clone()
    longer_one = room.with_rows(table, torch.full((1, 2), 7.0))
    memory = longer_one.data_ptr()
    for n in range(4):
        longer_one = room.with_rows(longer_one, torch.full((1, 2), float(n)))
        assert longer_one.data_ptr() == memory
    expected = torch.cat([kept, torch.tensor([[7.0], [0], [1], [2], [3]]).expand(-1, 2)])
    assert torch.equal(longer_one, expected)
    other, theirs = copy.deepcopy((room, longer_one))
    other.with_rows(theirs, torch.ones(1, 2))
    assert torch.equal(room.with_rows(longer_one, 5 * torch.ones(1, 2))[-1], 5 * torch.ones(2))
    assert torch.equal(room.with_rows(kept, torch.ones(1, 2))[:3], kept)


def test_longer_and_by_use() -> None:
    assert longer(torch.ones(2, 3), 4, -1).tolist() == [[1.0] * 3] * 2 + [[-1.0] * 3] * 2
    assert by_use(torch.tensor([3, 0, 1]), 0.5).tolist() == [0.375, 0.0, 0.125]
