"""Generated posts whose captions have words of their own, for models that read text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from reeltag.data.corpus import Corpus, open_corpus
from reeltag.data.dataset import Dataset
from reeltag.data.ragged import Ragged
from reeltag.data.splits import SplitRecipe, make_split
from tests.conftest import caption_vectors, vector_feature

WORDS = ("sunset", "beach", "harbour", "kitchen", "cooking", "goal", "match", "striker", "rare")


def captioned(path: Path, posts: int = 90, read: bool = False) -> Corpus:
    """Captions of random words, hashtags spelled from some of them, five users, seven songs.

    With `read`, the captions' vectors are a feature too.
    """
    rng = np.random.default_rng(3)
    captions, tags = [], []
    for n in range(posts):
        chosen = rng.choice(len(WORDS), size=int(rng.integers(1, 5)), replace=False)
        words = [WORDS[c] for c in chosen]
        captions.append(" ".join(words) + (f" only{n}" if n % 3 else ""))
        tags.append(sorted({words[0], "".join(words[:2]), f"by{n % 5}"}))
    frame = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(posts)],
            "user": [f"u{n % 5}" for n in range(posts)],
            "caption": captions,
            "hashtags": tags,
            "music": [f"song {n % 7}" if n % 4 else None for n in range(posts)],
        }
    )
    content = rng.standard_normal((posts, 4))
    dataset = Dataset.create(
        path,
        frame,
        source={"format": "generated"},
        features=[
            vector_feature("visual", content, rng.random(posts) < 0.9),
            *([caption_vectors(captions)] if read else []),
        ],
    )
    make_split(dataset, "main", SplitRecipe())
    return open_corpus(dataset, "main", words="count", pieces=True)


def idf_vectors(train: list[list[int]], posts: list[list[int]]) -> np.ndarray:
    """TF-IDF vectors of length 1 of posts' distinct terms, one term at a time (B, terms)."""
    terms = sorted({t for row in train for t in row})
    kept = [t for t in terms if sum(t in row for row in train) >= 2]
    table = np.zeros((len(posts), len(kept)))
    for row, own in enumerate(posts):
        for column, term in enumerate(kept):
            if term in own:
                table[row, column] = np.log(len(train) / sum(term in other for other in train))
        table[row] /= max(np.linalg.norm(table[row]), 1e-12)
    return table


def rows_of(ragged: Ragged) -> list[list[int]]:
    """A `Ragged` as lists."""
    offsets, values = ragged.offsets.tolist(), ragged.values.tolist()
    return [values[a:b] for a, b in pairwise(offsets)]
