"""The house model: the time of a fit, posts ranked a second, one post's answer, and the search.

18,000 posts by 1,450 users, captions of some twelve words and a sentence vector each, as a set of
tweets has; the catalogue is as long as GCN-PHR's on YFCC100M. Search is for a caption's nearest
100 posts by the pieces of its words, exactly, among more and more posts: as in tweets, a post
has some hundred terms, whose lists are together two thirds as long as there are posts.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks.drawn import Drawn, register
from benchmarks.measure import figure, median_ms, p99_ms
from reeltag.data.corpus import Corpus, Posts
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature
from reeltag.data.ragged import Ragged
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.evaluation.protocols import judge
from reeltag.experiments.train import Trainee, fit, prepare, refit
from reeltag.models.house import House
from reeltag.models.layers.postings import Postings
from reeltag.models.layers.top import top_k
from reeltag.models.observing import Observing
from reeltag.runtime import peak_rss_mb, set_threads

POSTS, USERS, HASHTAGS, WORDS = 18_000, 1_450, 23_054, 20_000
SEARCHED, TERMS, A_POST, ASKED = (10_000, 30_000, 100_000), 2_000_000, 200, 32


def main() -> dict[str, dict[str, Any]]:
    """Fit, rank the test part, answer for one post with ready features; search alone."""
    set_threads()
    searched = {f"house_search_{posts // 1000}k": _searched(posts) for posts in SEARCHED}
    with tempfile.TemporaryDirectory() as folder:
        dataset = _dataset(Path(folder) / "data")
        start = time.perf_counter()
        corpus, model = prepare(dataset, "main", "reeltag", {})
        trainee = refit(fit(corpus, model, "reeltag", {}, Path(folder) / "run"))
        fitting = time.perf_counter() - start
        assert isinstance(trainee.model, House)
        scorers = trainee.model.scorers
        return {
            "house_fit": figure(
                fitting,
                "s",
                90,
                f"{POSTS:,} posts, {len(corpus.hashtags):,} hashtags, {len(scorers)} scorers; "
                "fitted twice",
            ),
            **_speed(trainee),
            **searched,
            "house_peak_memory": figure(peak_rss_mb(), "MiB", None, "whole process"),
        }


@torch.no_grad()
def _speed(trainee: Trainee) -> dict[str, dict[str, Any]]:
    corpus, model = trainee.corpus, trainee.model
    posts = corpus.part("test")
    judge(model, corpus, posts.select(torch.arange(64)))
    rate = 1e3 * len(posts) / median_ms(lambda: judge(model, corpus, posts), 5)
    set_threads(1)  # as the service does
    one = corpus.batch(posts, torch.tensor([3]))
    answer = p99_ms(lambda: top_k(model.scored(one), 10))
    seen = iter(range(100))
    assert isinstance(model, Observing)
    shown = median_ms(lambda: _shown(model, corpus, posts, next(seen)), 90)
    return {
        "house_posts_per_second": figure(
            rate, "posts/s", 1500, "test part; candidates, trees, metrics", want="above"
        ),
        "house_post_p99": figure(answer, "ms", 15, "a ready post, top 10, one thread"),
        "house_observe": figure(shown, "ms", 5, "a post that is observed, one thread; median"),
    }


def _shown(model: Observing, corpus: Corpus, posts: Posts, post: int) -> None:
    one = torch.tensor([post])
    model.observe(corpus.batch(posts, one), posts.hashtags.select(one))


def _searched(posts: int) -> dict[str, Any]:
    """Milliseconds of one caption's search, asked in a block."""
    rng = np.random.default_rng(0)
    share = np.cumsum(1 / np.arange(1, TERMS + 1))
    terms = np.searchsorted(share / share[-1], rng.random((posts, A_POST)))
    keys = torch.from_numpy(np.unique(np.arange(posts)[:, None] * TERMS + terms))
    listed = Ragged.from_pairs(keys // TERMS, keys % TERMS, posts)
    index = Postings()
    index.fit(listed)
    asked = listed.select(torch.arange(ASKED))
    taken = median_ms(lambda: torch.topk(index(asked), 100, dim=1), 7) / ASKED
    found = index.known(asked)[1]
    entries = int((index.offsets[found + 1] - index.offsets[found]).sum()) // ASKED
    size = sum(part.nbytes for part in index.buffers()) / (1 << 20)
    return figure(taken, "ms", None, f"{entries:,} entries looked at; an index of {size:.0f} MiB")


def _dataset(path: Path) -> Dataset:
    """Users with habits, captions of Zipf words, hashtags of habit, words and chance."""
    rng = np.random.default_rng(0)
    users = rng.integers(USERS, size=POSTS)
    habits = _zipf(rng, HASHTAGS, (USERS, 12))
    words = _zipf(rng, WORDS, (POSTS, 15))
    words[rng.random(words.shape) < 0.2] = -1
    spoken = words[:, :2] % HASHTAGS
    rare = rng.permutation(3 * POSTS).reshape(POSTS, 3) % HASHTAGS
    tags = np.concatenate([habits[users, :2], spoken, rare], 1)
    kept = rng.random(tags.shape) < np.array([0.45] * 4 + [1.0] * 3)
    names = np.array([f"tag{_spelled(n)}" for n in range(HASHTAGS)])
    spelled = np.array([*(_spelled(n) for n in range(WORDS)), ""])
    frame = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(POSTS)],
            "user": [f"u{n}" for n in users],
            "caption": [" ".join(row) for row in spelled[words].tolist()],
            "hashtags": [
                sorted({*names[row[mask]].tolist()}) for row, mask in zip(tags, kept, strict=True)
            ],
        }
    )
    register()
    drawn = Drawn({}, 1)
    vectors = np.array(drawn.extract(frame["caption"].to_list()))
    feature = Feature(drawn.manifest(), vectors, np.ones(POSTS, bool))
    dataset = Dataset.create(path, frame, source={"format": "generated"}, features=[feature])
    make_split(dataset, "main", SplitRecipe())
    return dataset


def _zipf(rng: np.random.Generator, most: int, shape: tuple[int, ...]) -> np.ndarray:
    weights = 1 / np.arange(1, most + 1) ** 0.9
    return rng.choice(most, size=shape, p=weights / weights.sum())


def _spelled(number: int) -> str:
    """A pronounceable word for each number."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    word = ""
    while number or not word:
        number, rest = divmod(number, len(syllables))
        word += syllables[rest]
    return word + "n"
