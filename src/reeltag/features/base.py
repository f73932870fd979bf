"""What an extractor is: a decoded clip or captions go in, one array (or None) a post comes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from reeltag.data.feature import Kind, Manifest
from reeltag.errors import ReelTagError
from reeltag.media.decode import Decoded
from reeltag.media.request import Request


class Extractor(ABC):
    """Base of all extractors. Making one is cheap; what is heavy loads on first use.

    `shape` is the shape of one row: (dim,), (regions, dim), or () for token ids. A vector
    extractor gives one row a post, the other kinds (steps, *shape).
    """

    name: str
    """Registered name, what users write; `onnx:STEM`, `word2vec:STEM` for a file of their own."""
    modality: str
    source: str
    kind: Kind
    shape: tuple[int, ...]
    dtype: str = "float32"
    version: str = "1"
    """Raised whenever the values change for the same input."""
    licence: str = ""
    weights_sha256: str = ""
    settable: ClassVar[Mapping[str, Callable[[str], Any]]] = {}
    """Options that may be named (`NAME:KEY=VALUE,...`), and what reads their values."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        """Every setting that decides the values; an extractor is made again from these."""
        self.unusual: dict[str, Any] = {}
        """Those of them that are not the usual ones, which the folder's name tells."""

    @property
    def feature_name(self) -> str:
        """Folder name of the feature: `<modality>-<extractor>`, then unusual options.

        So features of one extractor in two ways lie side by side:
        `visual-efficientnet-lite1-regions-fps5-frames12`.
        """
        told = "".join(
            f"-{key}{f'{value:g}' if isinstance(value, float) else value}"
            for key, value in sorted(self.unusual.items())
        )
        return f"{self.modality}-{self.name.partition(':')[2] or self.name}{told}"

    def manifest(self, feature_name: str | None = None) -> Manifest:
        """What the extractor makes, as stored beside the values."""
        return Manifest(
            name=feature_name or self.feature_name,
            modality=self.modality,
            extractor=self.name,
            kind=self.kind,
            shape=self.shape,
            dtype=self.dtype,
            source=self.source,
            version=self.version,
            weights_sha256=self.weights_sha256,
            licence=self.licence,
            options=dict(self.options),
        )

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Do once, before many processes use the extractor, what is done once a machine."""

    def check(self, values: NDArray[Any]) -> NDArray[Any]:
        """`values` as the manifest's dtype. Raises `ReelTagError` on another shape or NaN."""
        shape = values.shape if self.kind == "vector" else values.shape[1:]
        if shape != self.shape:
            raise ReelTagError(
                f"Extractor {self.name} gave {values.shape}, expected rows of {self.shape}."
            )
        values = np.ascontiguousarray(values, dtype=self.dtype)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ReelTagError(f"Extractor {self.name} gave NaN or infinity.")
        return values


class ClipExtractor(Extractor):
    """Reads frames or sound of a clip. `request` says which, so a clip is decoded once for all."""

    source = "clip"
    request: Request

    @abstractmethod
    def extract(self, decoded: Decoded) -> NDArray[Any] | None:
        """One clip's entry; None where the clip lacks the modality."""


class CaptionExtractor(Extractor):
    """Reads captions, many at a time."""

    source = "caption"
    modality = "textual"

    @abstractmethod
    def extract(self, captions: Sequence[str]) -> list[NDArray[Any] | None]:
        """One entry a caption; None for a caption with nothing to read."""

    def units(self, caption: str) -> list[str]:
        """The words that the steps of a caption's entry stand for; none of a vector."""
        return []


def option(options: Mapping[str, Any], key: str, default: Any) -> Any:
    """`options[key]` or the default: what a manifest of an earlier run asks for."""
    return options.get(key, default)
