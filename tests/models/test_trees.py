"""Trees that choose whom all trees look at."""

from __future__ import annotations

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
