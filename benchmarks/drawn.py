"""Captions in, random vectors out: a textual extractor that costs nothing, for generated posts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reeltag.features.base import CaptionExtractor
from reeltag.features.registry import EXTRACTORS

WIDTH = 384


class Drawn(CaptionExtractor):
    """Vectors for captions and for names: they cost what sentence vectors cost."""

    name, kind, shape = "drawn", "vector", (WIDTH,)

    def __init__(self, options: Mapping[str, Any], threads: int) -> None:
        super().__init__()

    def extract(self, captions: Sequence[str]) -> list[np.ndarray | None]:
        rng = np.random.default_rng(len(captions))
        return list(rng.standard_normal((len(captions), WIDTH), dtype=np.float32))


def register() -> None:
    """Let this process know it: a run that reads it opens nowhere else."""
    EXTRACTORS["textual"]["drawn"] = Drawn
