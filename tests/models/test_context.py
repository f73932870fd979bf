"""Hashtags by music, place and hour, against counts made one post at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from reeltag.data.batches import NO_TIME, PostBatch
from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.ragged import Ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.errors import MissingFeatureError
from reeltag.evaluation.metrics import judge_scores
from reeltag.models.context import KINDS
from reeltag.models.contract import Sizes
from reeltag.models.explaining import Explaining
from reeltag.models.house import House
from reeltag.models.house_config import SCORERS
from reeltag.models.registry import build
from tests.models.observing import ObservingContract

KEPT = ("music", "place", "time")


def sung(path: Path, posts: int = 160, kept: Sequence[str] = KEPT) -> Corpus:
    """Posts whose music mostly decides one hashtag, their place another, their hour a third."""
    rng = np.random.default_rng(5)
    song, town, hour = rng.integers([[8], [4], [8]], size=(3, posts))
    decided = np.stack([song // 2, town, hour // 2])
    decided = np.where(rng.random(decided.shape) < 0.8, decided, rng.integers(4, size=posts))
    days = rng.integers(19_000, 19_060, size=posts)
    frame = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(posts)],
            "user": [f"u{n % 5}" for n in range(posts)],
            "caption": [f"caption {n % 3}" for n in range(posts)],
            "hashtags": [[f"a{a}", f"b{b}", f"c{c}"] for a, b, c in decided.T],
            "music": [f"song {m}" if n % 9 else None for n, m in enumerate(song)],
            "place": [f"town {p}" if n % 7 else None for n, p in enumerate(town)],
            "time": pl.from_epoch(pl.Series(86400 * days + 3 * 3600 * hour)),
        }
    )
    lacking = [name for name in KEPT if name not in kept]
    dataset = Dataset.create(path, frame.drop(lacking), source={"format": "generated"})
    make_split(dataset, "main", SplitRecipe())
    return open_corpus(dataset, "main", words="count", pieces=True)


def values_of(posts: PostBatch) -> list[list[object]]:
    """Music, place and hour of each post, as what they are compared by; None for none."""
    found: list[list[object]] = []
    for ids, time in zip(posts.contexts.tolist(), posts.times.tolist(), strict=True):
        weekend = (time // 86400 + 3) % 7 >= 5
        clock = None if time == NO_TIME else (weekend, time // 3600 % 24)
        found.append([*(None if i < 0 else i for i in ids), clock])
    return found


def sharing(corpus: Corpus, posts: PostBatch, row: int) -> list[list[list[int]]]:
    """Of each kind, the hashtags of the other training posts that have what this one has."""
    training = values_of(corpus.training.batch(torch.arange(len(corpus.training.posts))))
    tags = rows_of(corpus.training.posts.hashtags)
    others = [n for n in range(len(tags)) if n != int(posts.own[row])]
    return [
        [tags[n] for n in others if value is not None and training[n][kind] == value]
        for kind, value in enumerate(values_of(posts)[row])
    ]


def rows_of(ragged: Ragged) -> list[list[int]]:
    return [ragged.values[a:b].tolist() for a, b in pairwise(ragged.offsets.tolist())]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return sung(tmp_path_factory.mktemp("context") / "data")


class TestContext(ObservingContract):
    name = "context"
    uses_features = False
    uses_users = False

    @pytest.fixture
    def corpus(self, made: Corpus) -> Corpus:
        return made

    def test_scores_are_the_products_of_lifts(self, corpus: Corpus) -> None:
        settings = {"smoothing": 0.7, "hour_smoothing": 2.0}
        model = build("context", settings, Sizes.of(corpus.training))
        model.fit(corpus.training)
        tags, H = rows_of(corpus.training.posts.hashtags), range(len(corpus.hashtags))
        p = np.array([(sum(j in carried for carried in tags) + 0.5) / (len(tags) + 1) for j in H])
        for posts in (self.posts(corpus, 6), corpus.training.batch(torch.arange(6))):
            scores = model.scored(posts).numpy()
            for row in range(6):
                expected = p.copy()
                for a, alike in zip((0.7, 0.7, 2.0), sharing(corpus, posts, row), strict=True):
                    both = np.array([sum(j in carried for carried in alike) for j in H])
                    expected *= (both + a * p) / (len(alike) + a) / p
                np.testing.assert_allclose(scores[row], expected, rtol=1e-4)

    def test_facts_are_counted(self, corpus: Corpus) -> None:
        model, H = self.fitted(corpus), len(corpus.hashtags)
        assert isinstance(model, Explaining)
        kinds, first = set(), torch.tensor([0])
        for posts in (corpus.batch(corpus.part("test"), first), corpus.training.batch(first)):
            alike = dict(zip(KINDS, sharing(corpus, posts, 0), strict=True))
            for tag, about in enumerate(model.facts(posts, model.encode(posts), torch.arange(H))):
                for fact in about.get("contexts", []):
                    carried = alike[fact["kind"]]
                    uses = sum(tag in tags for tags in carried)
                    assert (fact["posts"], fact["of"]) == (uses, len(carried))
                    assert uses > 0
                    kinds.add(fact["kind"])
        assert kinds == set(KINDS)

    def test_a_post_without_any_gets_the_popular_hashtags(self, corpus: Corpus) -> None:
        model, posts = self.fitted(corpus), self.posts(corpus, 2)
        bare = replace(
            posts,
            contexts=torch.full_like(posts.contexts, -1),
            times=torch.full_like(posts.times, NO_TIME),
        )
        assert torch.equal(model.scored(bare)[0], model.popular)

    def test_what_training_lacks_is_not_looked_at(self, tmp_path: Path) -> None:
        corpus = sung(tmp_path / "data", kept=["music"])
        assert not Sizes.of(corpus.training).timed
        model, posts = self.fitted(corpus), self.posts(corpus)
        now = replace(posts, times=torch.full_like(posts.times, 1_800_000_000))
        assert torch.equal(model.scored(now), model.scored(posts))
        assert not torch.equal(model.scored(posts)[0], model.popular)

    def test_where_music_decides_it_beats_popularity_and_the_house_model_uses_it(
        self, tmp_path: Path
    ) -> None:
        corpus = sung(tmp_path / "data", posts=400, kept=["music"])
        posts, held = corpus.part("test"), corpus.part("validation")
        batch = corpus.batch(posts, torch.arange(len(posts)))
        asked = corpus.batch(held, torch.arange(len(held)))

        def judged(name: str, **settings: object) -> float:
            model = build(name, settings, Sizes.of(corpus.training))
            model.fit(corpus.training)
            if isinstance(model, House):
                model.choose([(asked, held.hashtags)], judge_scores)
            return float(judge_scores(model.scored(batch), posts.hashtags, "ndcg@5").mean())

        small = {"rounds": 30, "least_rows": 5}
        others = [name for name in SCORERS if name != "context"]
        assert judged("context") > judged("popularity") + 0.1
        assert judged("reeltag", **small) > judged("reeltag", scorers=others, **small) + 0.1

    def test_refuses_posts_without_any(self) -> None:
        with pytest.raises(MissingFeatureError, match="--map music=COL"):
            build("context", {}, Sizes(3, 4, {}))
