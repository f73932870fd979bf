"""Weights carried to a model of more users and hashtags: by name, new ones from the most alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch

from reeltag.data.corpus import Corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.data.vocabulary import UNKNOWN, Vocabulary
from reeltag.experiments.train import prepare
from reeltag.models.contract import Trained
from reeltag.models.trained import TRAINED
from reeltag.training.carrying import _axes, _known, carry
from reeltag.training.run import Run
from tests.conftest import TOPICS, make_dataset, vector_feature


@dataclass
class Opened:
    """What `carry` looks at of a run."""

    model: Trained
    users: Vocabulary
    hashtags: Vocabulary
    words: Vocabulary


def made(dataset: Dataset, name: str, seed: int = 0) -> tuple[Corpus, Trained]:
    corpus, model = prepare(dataset, "main", name, {"seed": seed})
    assert isinstance(model, Trained)
    model.fit(corpus.training)
    return corpus, model


def opened(corpus: Corpus, model: Trained) -> Run:
    found = Opened(model, corpus.users, corpus.hashtags, corpus.words)
    return cast(Run, found)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small dataset with twenty posts more: a new user, and a hashtag for one topic alone."""
    folder = tmp_path_factory.mktemp("grown")
    small = make_dataset(folder / "small")
    posts = small.posts
    start = posts["time"].max()
    assert start is not None
    more = pl.DataFrame(
        {
            "post": [f"new{n}" for n in range(20)],
            "user": ["stranger" if n % 2 else "u1" for n in range(20)],
            "time": [start] * 20,
            "caption": [f"a day at the {TOPICS[0]}"] * 20,
            "hashtags": [[TOPICS[0], "unheard"]] * 20,
        }
    )
    frame = pl.concat(
        [posts.select(more.columns), more.cast(dict(posts.select(more.columns).schema))]
    )
    rng = np.random.default_rng(1)
    features = []
    for name in small.features:
        old = small.feature(name)
        values = np.asarray(old.values[:], np.float64)
        own = [TOPICS[0] in tags for tags in posts["hashtags"].to_list()]
        like = values[own].mean(0) + 0.01 * rng.standard_normal((20, values.shape[1]))
        modality = small.features[name].modality
        features.append(vector_feature(modality, np.concatenate([values, like])))
    dataset = Dataset.create(
        folder / "grown", frame, source={"format": "generated"}, features=features
    )
    make_split(dataset, "main", SplitRecipe())
    return dataset


@pytest.mark.parametrize("name", TRAINED)
def test_with_nothing_new_all_is_carried(dataset: Dataset, name: str) -> None:
    corpus, old = made(dataset, name)
    _, other = made(dataset, name, seed=1)
    carried = carry(opened(corpus, old), other, corpus)
    assert not any(carried.new.values())
    assert carried.known["hashtags"] == len(corpus.hashtags)
    for key, value in other.named_parameters():
        torch.testing.assert_close(value, dict(old.named_parameters())[key], msg=key)


@pytest.mark.parametrize("name", ["gcn-phr", "uhman", "logo", "contagnet", "csmn", "eastern"])
def test_rows_are_carried_by_their_names(dataset: Dataset, grown: Dataset, name: str) -> None:
    before, old = made(dataset, name)
    after, new = made(grown, name, seed=1)
    carried = carry(opened(before, old), new, after)
    assert carried.new["hashtags"] == 1
    ids = {"users": _known(before.users, after.users), "words": _known(before.words, after.words),
           "hashtags": _known(before.hashtags, after.hashtags)}  # fmt: skip
    stored, tables = dict(old.named_parameters()), 0
    for key, axes in _axes(new).items():
        for axis, kind in axes.items():
            rows = new.get_parameter(key).movedim(axis, 0)
            expected = stored[key].movedim(axis, 0)
            there = ids[kind] != UNKNOWN
            rows = rows[: len(there)]
            torch.testing.assert_close(rows[there], expected[ids[kind][there]], msg=key)
            assert (rows[~there].amax(0) <= expected.amax(0) + 1e-6).all()  # means of known rows
            assert (rows[~there].amin(0) >= expected.amin(0) - 1e-6).all()
            tables += 1
    assert tables


def test_a_new_hashtag_starts_where_its_topic_is(dataset: Dataset, grown: Dataset) -> None:
    before, old = made(dataset, "gcn-phr")
    after, new = made(grown, "gcn-phr", seed=1)
    name = next(key for key, axes in _axes(new).items() if axes == {0: "hashtags"})
    table = old.get_parameter(name)
    with torch.no_grad():  # rows of the first topic are ones, all others zeros
        table.zero_()
        for place, tag in enumerate(before.hashtags.names):
            table[place] = float(tag.startswith(TOPICS[0]))
    carry(opened(before, old), new, after)
    row = new.get_parameter(name)[after.hashtags.id_of("unheard")]
    assert (row > 0.5).all()


def test_other_shapes_keep_what_was_drawn(dataset: Dataset) -> None:
    corpus, old = made(dataset, "gcn-phr")
    settings: dict[str, Any] = {"dim": 6}
    _, other = prepare(dataset, "main", "gcn-phr", settings)
    assert isinstance(other, Trained)
    other.fit(corpus.training)
    drawn = {key: value.clone() for key, value in other.named_parameters()}
    carry(opened(corpus, old), other, corpus)
    kept = 0
    for key, value in other.named_parameters():
        fits = old.get_parameter(key).shape == value.shape
        kept += not fits
        torch.testing.assert_close(value, old.get_parameter(key) if fits else drawn[key], msg=key)
    assert kept
