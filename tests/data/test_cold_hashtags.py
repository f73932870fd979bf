"""Cold hashtags: drawn by the seed, in the catalogue, and nowhere in what is learned from."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.filters import restrict_dataset
from reeltag.data.splits import SplitRecipe, carry_split, make_split, open_split
from reeltag.errors import ConfigError, DatasetError
from tests.conftest import make_dataset

RECIPE = SplitRecipe(seed=1, cold_hashtags=0.3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset = make_dataset(tmp_path_factory.mktemp("cold") / "data")
    make_split(dataset, "main", SplitRecipe(seed=1))
    make_split(dataset, "cold", RECIPE)
    return dataset


def tags_of(corpus: Corpus, part: str) -> list[set[str]]:
    found = corpus.part(part).hashtags
    names, values = corpus.hashtags.names, found.values.tolist()
    bounds = found.offsets.tolist()
    return [{names[v] for v in values[a:b]} for a, b in pairwise(bounds)]


def test_the_share_is_of_those_in_training_and_test(made: Dataset) -> None:
    split = open_split(made, "cold")
    used = [
        set(made.posts[split.rows(part)]["hashtags"].explode(empty_as_null=False))
        for part in ("train", "test")
    ]
    assert set(split.cold) <= used[0] & used[1]
    assert len(split.cold) == round(0.3 * len(used[0] & used[1]))
    assert list(split.cold) == sorted(split.cold)
    assert split.parts.equals(open_split(made, "main").parts)
    assert make_split(made, "again", RECIPE).cold == split.cold
    assert make_split(made, "other", SplitRecipe(seed=2, cold_hashtags=0.3)).cold != split.cold


def test_training_and_validation_lack_them_and_test_keeps_them(made: Dataset) -> None:
    warm, cold = open_corpus(made, "main"), open_corpus(made, "cold")
    hidden = set(cold.split.cold)
    for part in ("train", "validation", "test"):
        lost = set() if part == "test" else hidden
        assert tags_of(cold, part) == [tags - lost for tags in tags_of(warm, part)]
        assert not cold.part(part).outside.any()
    assert set(cold.hashtags.names) == set(warm.hashtags.names)
    assert cold.hashtags.names[-len(hidden) :] == sorted(hidden)
    counts = dict(zip(warm.hashtags.names, warm.hashtags.counts.tolist(), strict=True))
    assert dict(zip(cold.hashtags.names, cold.hashtags.counts.tolist(), strict=True)) == {
        name: 0 if name in hidden else count for name, count in counts.items()
    }
    assert cold.users.names == warm.users.names
    assert cold.training.captions.equals(warm.training.captions)


def test_rare_hashtags_leave_and_cold_ones_stay(made: Dataset) -> None:
    recipe = SplitRecipe(seed=1, min_hashtag_uses=25, cold_hashtags=0.3)
    split = make_split(made, "rare", recipe)
    warm = make_split(made, "rare-warm", SplitRecipe(seed=1, min_hashtag_uses=25))
    before, after = Corpus(made, warm).hashtags, Corpus(made, split).hashtags
    assert set(after.names) == set(before.names) > set(split.cold)
    assert after.counts[after.counts > 0].min() >= 25


def test_posts_in_no_part_are_read_without_them(made: Dataset) -> None:
    split = open_split(made, "cold")
    parts = pl.Series([None, *split.parts[1:]], dtype=pl.Utf8)
    left_out = type(split)("x", split.recipe, parts, tuple(made.posts["hashtags"][0]))
    assert left_out.visible(made.posts)["hashtags"][0].to_list() == []
    assert len(Corpus(made, left_out).posts_at(np.array([0])).hashtags.values) == 0


def test_a_carried_split_keeps_those_it_has(made: Dataset, tmp_path: Path) -> None:
    cold = open_split(made, "cold").cold
    kept = pl.Series([cold[0], "sea", "city"])
    small = restrict_dataset(made, tmp_path / "small", kept, "some")
    assert carry_split(made, small, "cold").cold == (cold[0],)
    assert open_split(small, "cold").cold == (cold[0],)


def test_shares_that_cannot_be(made: Dataset) -> None:
    with pytest.raises(ConfigError, match="--cold-hashtags 1, expected a share"):
        SplitRecipe(cold_hashtags=1)
    with pytest.raises(ConfigError, match="hashtags, which is none"):
        make_split(made, "none", SplitRecipe(cold_hashtags=1e-6))
    assert "none" not in made.splits
    split = make_split(made, "all", SplitRecipe(min_hashtag_uses=25, cold_hashtags=0.99))
    with pytest.raises(DatasetError, match="nothing to recommend"):
        Corpus(made, split)


def test_more_hashtags_can_be_hidden(made: Dataset) -> None:
    """For a rehearsal: as if no training post carried them, and nothing else is changed."""
    training = open_corpus(made, "main").training
    hidden = training.hiding(torch.tensor([0, 3]))
    assert hidden.hashtags.names == training.hashtags.names
    counts = training.hashtags.counts.tolist()
    assert hidden.hashtags.counts.tolist() == [0, *counts[1:3], 0, *counts[4:]]
    before, after = training.posts.hashtags, hidden.posts.hashtags
    for row in range(len(before)):
        left = [j for j in before.select(torch.tensor([row])).values.tolist() if j not in (0, 3)]
        assert after.select(torch.tensor([row])).values.tolist() == left
    assert hidden.posts.users is training.posts.users
    assert training.hashtags.counts[0] > 0
