"""Trees that choose whom all trees look at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reeltag.models.layers.trees import RankingTrees


def grown() -> tuple[RankingTrees, torch.Tensor]:
    numbers = torch.Generator().manual_seed(0)
    features = torch.rand(80, 12, 4, generator=numbers)
    grades = (features[..., 0] + 0.3 * torch.rand(80, 12, generator=numbers) > 1).byte()
    trees = RankingTrees()
    trees.grow(features, grades, 30, num_leaves=4, min_data_in_leaf=5)
    return trees, features


def test_the_best_are_those_of_the_first_trees() -> None:
    trees, features = grown()
    best = trees.best(features, 30, 5)
    assert best.shape == (80, 5)
    assert (best.diff(dim=1) > 0).all()  # in the order in which they came
    expected = torch.argsort(trees(features), dim=1, descending=True, stable=True)[:, :5]
    assert torch.equal(best, expected.sort(1).values)
    assert not torch.equal(trees.best(features, 1, 5), best)


def test_of_few_all_are_the_best() -> None:
    trees, features = grown()
    assert torch.equal(trees.best(features, 1, 12), torch.arange(12).expand(80, 12))
    assert torch.equal(trees.best(features, 1, 40), torch.arange(12).expand(80, 12))


class TestMasks:
    """Trees as masks are the trees that LightGBM walks down."""

    @staticmethod
    def numbers(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(1))

    @pytest.mark.parametrize("leaves", [2, 3, 15, 16])
    def test_sums_are_the_same_bits(self, leaves: int) -> None:
        features = self.numbers((60, 20, 5))
        features[..., 4] = (4 * features[..., 4]).round() / 4  # many at a threshold
        trees = RankingTrees()
        right = (features.sum(2) + self.numbers((60, 20)) > 1).byte()
        trees.grow(features, right, 25, num_leaves=leaves, min_data_in_leaf=3)
        booster, masks = trees._readable()
        assert masks is not None
        near = torch.cat([features, torch.nextafter(features, features + 1)])
        for rounds in (1, 7, 25):
            expected = booster.predict(near.view(-1, 5).numpy(), num_iteration=rounds)
            assert np.array_equal(masks.sums(near.numpy(), rounds).ravel(), expected)
        borders = torch.tensor(masks.thresholds)
        borders = torch.where(borders.abs() > 1e-30, borders, 0.0)  # LightGBM rounds to 0 below
        on_border = borders.view(-1, 1, 1).expand(-1, 1, 5).contiguous()
        expected = booster.predict(on_border.view(-1, 5).numpy())
        assert np.array_equal(masks.sums(on_border.numpy()).ravel(), expected)

    def test_rows_of_another_width_are_refused(self) -> None:
        features = self.numbers((60, 20, 5))
        trees = RankingTrees()
        trees.grow(features, (features[..., 0] > 1).byte(), 3, num_leaves=4)
        with pytest.raises(ValueError, match="Got rows of 4 features, expected 5"):
            trees(features[..., :4])

    def test_trees_that_learned_nothing_are_a_leaf_each(self) -> None:
        features = torch.zeros(3, 4, 2)
        trees = RankingTrees()
        trees.grow(features, torch.tensor([[1, 0, 0, 0]] * 3).byte(), 2, num_leaves=4)
        assert torch.equal(trees(features), torch.zeros(3, 4))

    def test_larger_trees_are_walked_down(self) -> None:
        features = self.numbers((60, 20, 5))
        trees = RankingTrees()
        trees.grow(features, (features[..., 0] > 1).byte(), 5, num_leaves=40, min_data_in_leaf=2)
        booster, masks = trees._readable()
        assert masks is None
        expected = booster.predict(features.view(-1, 5).numpy())
        assert np.array_equal(trees._sums(features).ravel(), expected)
