"""Scores in lists: compiled loops, torch and plain Python say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from reeltag.data.ragged import Ragged
from reeltag.models.layers import scores, top
from reeltag.models.layers.scores import Listed, Whole, listed_sums
from reeltag.models.layers.top import rank_of, top_k


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With numba and without."""
    if request.param == "torch":
        for module in (scores, top):
            monkeypatch.setattr(module, "available", lambda: False)
    else:  # however small the tables
        monkeypatch.setattr(top, "_FEW", 0)
        monkeypatch.setattr(top, "_SMALL", 0)
    return str(request.param)


def numbers(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ordered(table: Tensor, most: int) -> Tensor:
    """By falling scores, equal ones by their ids; what is no number comes after the others."""
    plain = table.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    return torch.sort(plain, dim=1, descending=True, stable=True).indices[:, :most]


@pytest.mark.usefixtures("way")
class TestTop:
    @pytest.mark.parametrize("seed", range(24))
    def test_it_is_a_stable_sort(self, seed: int) -> None:
        draw = numbers(seed)
        rows, width = torch.randint(1, 900, (2,), generator=draw).tolist()
        most = int(torch.randint(1, width + 1, (1,), generator=draw))
        table = torch.randn(1 + rows % 6, width, generator=draw)
        if seed % 3 == 1:
            table = table.round()
        if seed % 3 == 2:
            table = table.clamp(min=0)
            table[:, ::7] = -0.0
        if seed % 4 == 1:
            table[0] = -torch.inf
            table[:, ::11] = torch.inf
        if seed % 5 == 1:
            table[:, 1::3] = torch.nan
        assert torch.equal(top_k(table, most), ordered(table, most))
        ranks = torch.argsort(ordered(table, width), dim=1) + 1
        for column in {0, width // 2, width - 1}:
            columns = torch.full((len(table),), column)
            assert torch.equal(rank_of(table, columns), ranks[:, column])

    def test_more_than_there_are_is_all(self) -> None:
        assert top_k(torch.tensor([[1.0, 3.0, 2.0]]), 50).tolist() == [[1, 2, 0]]
        assert top_k(torch.empty(0, 40), 39).shape == (0, 39)
        assert top_k(torch.empty(2, 0), 5).shape == (2, 0)


def made(seed: int, hashtags: int, scaled: bool) -> tuple[Listed, Tensor, Tensor]:
    """Listed scores of five posts with ties, the same in full, and the order of the usual."""
    draw = numbers(seed)
    uses = torch.randint(0, 6, (hashtags,), generator=draw).float()
    scale = torch.rand(5, generator=draw) + 0.5 if scaled else None
    table = uses.repeat(5, 1) if scale is None else scale.unsqueeze(1) * uses
    owner, columns, values = [], [], []
    for post in range(5):
        some = torch.randperm(hashtags, generator=draw)[: (0, 1, 7, hashtags, hashtags // 2)[post]]
        said = (6 * torch.rand(len(some), generator=draw)).round()
        table[post, some] = said
        owner += [post] * len(some)
        columns += some.tolist()
        values += said.tolist()
    rows = Ragged.from_pairs(torch.tensor(owner), torch.tensor(columns), 5)
    order = torch.sort(uses, descending=True, stable=True).indices
    return Listed(rows, torch.tensor(values), uses, scale), table, order


@pytest.mark.usefixtures("way")
class TestListed:
    @pytest.mark.parametrize("scaled", [False, True])
    @pytest.mark.parametrize("hashtags", [7, 40, 600])
    def test_it_is_its_table(self, hashtags: int, scaled: bool) -> None:
        listed, table, order = made(hashtags, hashtags, scaled)
        assert torch.equal(listed.whole(), table)
        for most in {1, 5, hashtags // 2, hashtags}:
            assert torch.equal(listed.top(most, order), ordered(table, most))
            assert torch.equal(Whole(table).top(most, order), ordered(table, most))
        asked = torch.randint(hashtags, (5, 30), generator=numbers(1))
        assert torch.equal(listed.at(asked), table.gather(1, asked))
        assert torch.equal(Whole(table).at(asked), table.gather(1, asked))

    def test_nothing_listed_is_the_usual(self) -> None:
        listed, _, order = made(3, 9, False)
        nothing = replace(listed, rows=Ragged.empty(2), values=listed.values[:0])
        assert torch.equal(nothing.whole(), listed.usual.repeat(2, 1))
        assert torch.equal(nothing.top(4, order), order[:4].repeat(2, 1))


@pytest.mark.usefixtures("way")
class TestSums:
    @pytest.mark.parametrize("largest", [False, True])
    @pytest.mark.parametrize("weighed", [False, True])
    def test_lists_add_up(self, largest: bool, weighed: bool) -> None:
        draw = numbers(0)
        lists = Ragged.from_lists([[3, 1], [], [1, 1, 4], [0, 2, 3, 4], [5]])
        weights = torch.rand(len(lists.values), generator=draw) if weighed else None
        owner, asked = torch.tensor([0, 0, 0, 2, 2, 3]), torch.tensor([0, 2, 0, 1, 3, 1])
        weight, start = torch.rand(6, generator=draw), torch.rand(6, generator=draw) / 4
        rows, values = listed_sums(lists, weights, 5, owner, asked, weight, start, largest)
        wanted: list[dict[int, float]] = [{} for _ in range(5)]
        for post, number, w in zip(owner.tolist(), asked.tolist(), weight.tolist(), strict=True):
            for place in range(*lists.offsets[number : number + 2].tolist()):
                column = int(lists.values[place])
                said = w * (1.0 if weights is None else weights[place].item())
                before = wanted[post].get(column, start[column].item())
                wanted[post][column] = max(before, said) if largest else before + said
        for post in range(5):
            mine = slice(*rows.offsets[post : post + 2].tolist())
            found = dict(zip(rows.values[mine].tolist(), values[mine].tolist(), strict=True))
            assert found == pytest.approx(wanted[post])

    def test_of_nothing_there_is_nothing(self) -> None:
        none = torch.zeros(0, dtype=torch.int64)
        rows, values = listed_sums(
            Ragged.empty(3), None, 2, none, none, torch.zeros(0), torch.zeros(4)
        )
        assert len(rows) == 2
        assert len(values) == 0
