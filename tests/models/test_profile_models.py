"""BL, UA and 3WM against an independent NumPy reading of their equations."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.models.contract import Sizes, TrainingBatch
from reeltag.models.registry import build
from tests.conftest import make_dataset
from tests.models.contract import TrainedContract


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The small dataset with a field a user."""
    folder = tmp_path_factory.mktemp("profiles")
    small = make_dataset(folder / "posts")
    made = Dataset.create(
        folder / "data",
        small.posts,
        source={"format": "generated"},
        features=[small.feature(name) for name in small.features],
        users=small.users.select("user", pl.Series("gender", ["f", "m", None, "f"] * 2)),
    )
    make_split(made, "main", SplitRecipe())
    return open_corpus(made, "main")


@pytest.mark.parametrize("name", ["bilinear", "user-additive", "three-way"])
def test_equations_against_numpy(corpus: Corpus, name: str) -> None:
    torch.manual_seed(1)
    model = build(name, {"dim": 5}, Sizes.of(corpus.training))
    model.fit(corpus.training)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    w = {k: v.double().numpy() for k, v in model.state_dict().items()}
    training, posts = corpus.training, corpus.batch(corpus.part("test"), torch.arange(6))
    posts.users[5] = -1
    found = model.scored(posts).numpy()
    used = {(int(training.posts.users[k]), int(j)) for k, j in zip(*training.triples, strict=True)}
    for row, user in enumerate(posts.users.tolist()):
        raw = np.concatenate([posts.vectors[n][row].numpy() for n in posts.vectors])
        there = np.concatenate(
            [
                np.full(len(posts.vectors[n][row]), float(posts.present[n][row]))
                for n in posts.vectors
            ]
        )
        v = (raw - w["input.mean"]) * w["input.scale"] * there
        video = w["post_in.weight"] @ v + w["post_in.bias"]
        if name != "bilinear":
            past = np.array([float((user, j) in used) for j in range(len(corpus.hashtags))])
            parts = [
                w["profile.fields.0.weight"][int(posts.fields[row, 0])],
                w["profile.history.weight"] @ past + w["profile.history.bias"],
            ]
            u = w["user_in.weight"] @ np.concatenate(parts) + w["user_in.bias"]
            video = video + u if name == "user-additive" else video * u
        np.testing.assert_allclose(found[row], w["hashtag"] @ video, rtol=1e-3, atol=1e-3)


class ByPost(TrainedContract):
    """A step takes all hashtags of its posts."""

    settings = {"dim": 6}  # noqa: RUF012

    def test_every_hashtag_of_a_post_counts(self, corpus: Corpus) -> None:
        """A step by posts is the mean of its examples taken one by one."""
        torch.manual_seed(0)
        model = build(self.name, self.settings, Sizes.of(corpus.training))
        model.fit(corpus.training)
        own = corpus.training.posts.hashtags.select(torch.arange(4))
        negatives = torch.randint(len(corpus.hashtags), (len(own.values), 3))
        posts = corpus.training.batch(torch.arange(4))
        whole = model.loss(TrainingBatch(posts, own.values, negatives, own.row_of_value))  # type: ignore[operator]
        single = corpus.training.batch(own.row_of_value)
        each = model.loss(TrainingBatch(single, own.values, negatives))  # type: ignore[operator]
        torch.testing.assert_close(whole, each)


class TestBilinear(ByPost):
    name = "bilinear"
    uses_users = False


class TestUserAdditive(ByPost):
    name = "user-additive"


class TestThreeWay(ByPost):
    name = "three-way"
