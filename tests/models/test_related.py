"""Relatives of hashtags and what is spread to them, against NumPy; company of the never used."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.ragged import Ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import MissingFeatureError
from reeltag.models.contract import Sizes
from reeltag.models.layers import relatedness
from reeltag.models.layers.relatedness import Relatedness
from reeltag.models.registry import build
from tests.models.captioned import captioned, rows_of
from tests.models.lists import listed
from tests.models.observing import ObservingContract


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("related") / "data", posts=120)


def together(groups: list[set[int]], hashtags: int, most: int) -> np.ndarray:
    """R of one way of going together, pair by pair."""
    alone = [sum(j in group for group in groups) for j in range(hashtags)]
    table = np.zeros((hashtags, hashtags))
    for k in range(hashtags):
        for j in range(hashtags):
            common = sum(k in group and j in group for group in groups)
            if common and k != j:
                lift = max(0.0, log(len(groups) * common / (alone[k] * alone[j])))
                table[k, j] = lift * common / (common + 3)
        weak = np.argsort(-table[k], kind="stable")[most:]
        table[k, weak] = 0
    return table / np.maximum(table.sum(1, keepdims=True), 1e-12)


def dense(layer: Relatedness, hashtags: int) -> np.ndarray:
    """R (H, H), as spreading each hashtag alone shows it."""
    found: np.ndarray = layer(listed(torch.eye(hashtags))).numpy()
    return found


@pytest.mark.parametrize("most", [2, 20])
def test_relatives_go_together(made: Corpus, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(relatedness, "RELATIVES", most)
    training, H = made.training, len(made.hashtags)
    tags, users = rows_of(training.posts.hashtags), training.posts.users.tolist()
    posts = together([set(row) for row in tags], H, most)
    used = [{j for row, u in zip(tags, users, strict=True) if u == user for j in row}
            for user in range(len(made.users))]  # fmt: skip
    layer = Relatedness(posts=0.4, users=0.7)
    layer.fit(training)
    np.testing.assert_allclose(
        dense(layer, H), 0.4 * posts + 0.7 * together(used, H, most), atol=1e-6
    )


def test_names_relate_to_used_hashtags_alone(made: Corpus) -> None:
    counts = made.hashtags.counts
    names = [*made.hashtags.names, "neverused", "neither"]
    vocabulary = made.hashtags.with_unused(names[-2:])
    training = replace(made.training, hashtags=vocabulary)
    H = len(names)
    alike = torch.rand(H, H, generator=torch.Generator().manual_seed(0)) - 0.3
    alike[-2, -1] = alike[-1, -2] = 1.0
    layer = Relatedness(posts=0, users=0, names=0.5)
    layer.fit(training, lambda block: alike[block])
    table = np.zeros((H, H))
    for j in range(H):
        near = [alike[j, k].item() if k != j and k < H - 2 else 0.0 for k in range(H)]
        for k in sorted(range(H), key=lambda k: -near[k])[: relatedness.RELATIVES]:
            uses = counts[j] if j < H - 2 else 0
            table[k, j] = 0.5 * max(0.0, near[k]) ** 2 / (1 + uses)
    np.testing.assert_allclose(dense(layer, H), table, atol=1e-6)


def test_a_spread_is_one_product(made: Corpus) -> None:
    layer, H = Relatedness(), len(made.hashtags)
    layer.fit(made.training)
    scores = torch.rand(6, H, generator=torch.Generator().manual_seed(1))
    scores[2:, 5:] = 0
    np.testing.assert_allclose(
        layer(listed(scores)).numpy(), scores.numpy() @ dense(layer, H), rtol=1e-4, atol=1e-6
    )
    parts = [layer(listed(part)) for part in (scores[:1], scores[1:])]
    assert torch.equal(torch.cat(parts), layer(listed(scores)))
    assert not layer(listed(torch.zeros(2, H))).any()


def test_hashtags_that_no_post_shares_have_no_relatives(made: Corpus) -> None:
    posts = made.training.posts
    single = Ragged(
        posts.hashtags.values[posts.hashtags.offsets[:-1]], torch.arange(len(posts) + 1)
    )
    nobody = torch.full_like(posts.users, -1)
    alone = replace(made.training, posts=replace(posts, hashtags=single, users=nobody))
    layer = Relatedness()
    layer.fit(alone)
    assert not layer(listed(torch.ones(1, len(made.hashtags)))).any()


class TestRelated(ObservingContract):
    name = "related"
    uses_features = False
    words = "count"

    @pytest.fixture
    def corpus(self, made: Corpus) -> Corpus:
        return made

    def test_scores_are_shares_and_what_they_spread(self, corpus: Corpus) -> None:
        model, H = self.fitted(corpus), len(corpus.hashtags)
        knn = build("text-knn", {}, Sizes.of(corpus.training))
        knn.fit(corpus.training)
        users = corpus.training.posts.users.numpy()
        tags = rows_of(corpus.training.posts.hashtags)
        relations = dense(model.relatedness, H)  # type: ignore[arg-type]
        backoff = knn.votes.backoff.numpy()  # type: ignore[union-attr]
        for posts in (self.posts(corpus, 4), corpus.training.batch(torch.arange(4))):
            votes, found = knn.scored(posts).numpy() - backoff, model.scored(posts).numpy()
            people = zip(posts.users.tolist(), posts.own.tolist(), strict=True)
            for row, (user, own) in enumerate(people):
                uses = np.zeros(H)
                for q, carried in enumerate(tags):
                    uses[carried] += float(users[q] == user and q != own)
                first = votes[row] / max(1, votes[row].sum()) + uses / max(1, uses.sum())
                wanted = backoff + first + first @ relations
                np.testing.assert_allclose(found[row], wanted, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("read", [False, True])
    def test_a_hashtag_never_used_is_found_by_its_company(
        self, tmp_path_factory: pytest.TempPathFactory, read: bool
    ) -> None:
        """By the pieces of names, and by what they mean where captions are vectors."""
        corpus = captioned(tmp_path_factory.mktemp("company") / "data", posts=120, read=read)
        make_split(corpus.dataset, "cold", SplitRecipe(cold_hashtags=0.3))
        cold = open_corpus(corpus.dataset, "cold", words="count", pieces=True)
        model, posts = self.fitted(cold), cold.part("test")
        scores = model.scored(cold.batch(posts, torch.arange(len(posts))))
        spelt = np.array([not name.startswith("by") for name in cold.hashtags.names])
        unused = torch.from_numpy((cold.hashtags.counts == 0) & spelt)
        right = posts.hashtags.dense(len(cold.hashtags))[:, unused]
        mine = scores[:, unused]
        assert right.any()
        assert mine[right].mean() > 1.5 * mine[~right].mean() > 0

    def test_refuses_captions_without_words(self) -> None:
        with pytest.raises(MissingFeatureError, match="related reads captions"):
            build("related", {}, Sizes(3, 4, {}))
