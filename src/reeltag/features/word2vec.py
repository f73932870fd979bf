"""A word2vec file of the user's own: captions in, the vectors of their known words out.

    reeltag extract DATASET --textual word2vec:vi.vec

Text or binary, any width (LOGO's has 300), any language. See
`reeltag.features.backbones.word_vectors` for the forms and for how words are found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from reeltag.features.backbones.word_vectors import keep_vectors, open_vectors
from reeltag.features.base import CaptionExtractor, option
from reeltag.words import words


class Word2Vec(CaptionExtractor):
    """The vectors of a caption's known words, in order, (words, width).

    Mikolov et al.: Distributed Representations of Words and Phrases and their
    Compositionality. NeurIPS 2013.
    """

    kind, dtype = "sequence", "float16"

    def __init__(self, stem: str, digest: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._vectors = open_vectors(digest)
        self.name, self.weights_sha256 = f"word2vec:{stem}", digest
        self.shape = (self._vectors.width,)
        self.options = {"max_words": int(option(options, "max_words", 64))}

    def units(self, caption: str) -> list[str]:
        """The known words."""
        return [word for word, _ in self._known(caption)]

    def extract(self, captions: Sequence[str]) -> list[NDArray[Any] | None]:
        """(words, width) a caption, None for one without a known word."""
        known = [[row for _, row in self._known(caption)] for caption in captions]
        return [self.check(self._vectors.vectors(rows)) if rows else None for rows in known]

    def _known(self, caption: str) -> list[tuple[str, int]]:
        return self._vectors.find(words(caption))[: self.options["max_words"]]


def from_file(file: Path) -> Word2Vec:
    """The extractor of a word2vec file. Raises `ConfigError`."""
    return Word2Vec(file.stem, keep_vectors(file), {})


def from_cache(stem: str, digest: str, options: Mapping[str, Any]) -> Word2Vec:
    """The extractor a manifest describes, from the kept vectors. Raises `ConfigError`."""
    return Word2Vec(stem, digest, options)
