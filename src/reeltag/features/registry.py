"""The extractors by name: a modality and a name go in, an extractor comes out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reeltag.data.feature import Manifest
from reeltag.data.schema import MODALITIES
from reeltag.errors import ConfigError, MissingExtraError
from reeltag.features import acoustic, onnx_file, textual, visual, word2vec
from reeltag.features.base import Extractor

Maker = Callable[[Mapping[str, Any], int], Extractor]

EXTRACTORS: dict[str, dict[str, Maker]] = {
    "visual": {
        "efficientnet-lite1": visual.LiteVector,
        "efficientnet-lite1-frames": visual.LiteFrames,
        "efficientnet-lite1-regions": visual.LiteRegions,
    },
    "acoustic": {"logmel": acoustic.LogMel, "spectrogram": acoustic.Spectrogram},
    "textual": {
        "minilm": textual.MiniLM,
        "glove": textual.GloveWords,
        "sif": textual.Sif,
        "tokens": textual.Tokens,
    },
}
"""Modality, name and what makes the extractor; beside these `onnx:FILE` is valid for clips and
`word2vec:FILE` for captions."""

DEFAULTS = {"visual": "efficientnet-lite1", "acoustic": "logmel", "textual": "minilm"}
"""What `reeltag extract` makes when nothing is named."""


@dataclass(frozen=True)
class Availability:
    """One line of `reeltag extractors`."""

    modality: str
    name: str
    usable: bool
    why: str
    """Why it is not usable; what it gives where it is."""
    kind: str = ""
    shape: tuple[int, ...] = ()
    licence: str = ""
    summary: str = ""


def make(
    modality: str, name: str, options: Mapping[str, Any] | None = None, threads: int = 1
) -> Extractor:
    """The extractor called `name`, or of a file (`onnx:FILE`, `word2vec:FILE`).

    Args:
        name: may be followed by options, `NAME:KEY=VALUE,KEY=VALUE`; a model file's stand in
            the TOML file beside it.
        options: settings, as an earlier manifest stored them; default: the usual ones.
        threads: threads of its network.
    Raises `ConfigError` where there is none, listing those there are, and
    `MissingExtraError` where a library is absent.
    """
    if modality not in MODALITIES:
        raise ConfigError(f"Got modality {modality!r}, expected one of {', '.join(MODALITIES)}.")
    if name.startswith("onnx:"):
        return onnx_file.from_file(modality, Path(name.removeprefix("onnx:")), threads)
    if modality == "textual" and name.startswith("word2vec:"):
        return word2vec.from_file(Path(name.removeprefix("word2vec:")))
    known = EXTRACTORS[modality]
    name, colon, listed = name.partition(":")
    if name not in known:
        valid = [*known, "word2vec:FILE" if modality == "textual" else "onnx:FILE"]
        raise ConfigError(f"Got {modality} extractor {name!r}, expected one of {', '.join(valid)}.")
    given = read_options(name, listed, getattr(known[name], "settable", {})) if colon else {}
    return known[name]({**(options or {}), **given}, threads)


def read_options(
    name: str, listed: str, settable: Mapping[str, Callable[[str], Any]]
) -> dict[str, Any]:
    """Read `fps=5,frames=12`. Raises `ConfigError` listing the options that `name` has."""
    options: dict[str, Any] = {}
    for pair in listed.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in settable or key in options:
            valid = ", ".join(f"{key}=VALUE" for key in settable) or "none"
            raise ConfigError(
                f"Got option {pair!r} for {name}, expected each at most once of: {valid}. "
                f"They are written {name}:KEY=VALUE,KEY=VALUE."
            )
        try:
            options[key] = settable[key](value)
        except ValueError:
            kind = "a whole number" if settable[key] is int else "a number"
            raise ConfigError(f"Got {pair!r} for {name}, expected {kind} for {key}.") from None
    return options


def of_manifest(manifest: Manifest, threads: int = 1) -> Extractor:
    """The extractor that made a feature. Raises `ConfigError` where it cannot be had again.

    That is: numeric columns of a table, and an extractor whose version or weights changed.
    """
    if manifest.extractor == "columns" or manifest.source == "columns":
        raise ConfigError(
            f"{manifest.name} was made from table columns and cannot be read off a clip"
        )
    made: Extractor
    if manifest.extractor.startswith("onnx:"):
        stem = manifest.extractor.removeprefix("onnx:")
        options = {**manifest.options, "licence": manifest.licence}
        made = onnx_file.from_cache(
            manifest.modality, stem, manifest.weights_sha256, options, threads
        )
    elif manifest.extractor.startswith("word2vec:"):
        stem = manifest.extractor.removeprefix("word2vec:")
        made = word2vec.from_cache(stem, manifest.weights_sha256, manifest.options)
    else:
        made = make(manifest.modality, manifest.extractor, manifest.options, threads)
    if made.manifest().fingerprint != manifest.fingerprint:
        raise ConfigError(
            f"{manifest.name} was made by another version or other weights of "
            f"{manifest.extractor} than are installed"
        )
    return made


_made: dict[tuple[str, int], Extractor] = {}


def cached(manifest: Manifest, threads: int = 1) -> Extractor:
    """`of_manifest`, made once a process: for a server that scores clip after clip."""
    key = (manifest.fingerprint, threads)
    if key not in _made:
        _made[key] = of_manifest(manifest, threads)
    return _made[key]


def available() -> list[Availability]:
    """Every registered extractor, whether it is usable here, and why it is not."""
    found = []
    for modality, makers in EXTRACTORS.items():
        for name, maker in makers.items():
            summary = (maker.__doc__ or "").splitlines()[0].split(": ", 1)[-1]
            try:
                made = maker({}, 1)
                _needs(made)
                found.append(
                    Availability(
                        modality, name, True, "", made.kind, made.shape, made.licence, summary
                    )
                )
            except (MissingExtraError, OSError) as fault:
                found.append(Availability(modality, name, False, str(fault), summary=summary))
    return found


def _needs(extractor: Extractor) -> None:
    """Raise `MissingExtraError` where what the extractor loads late is absent."""
    if extractor.source != "clip":
        return
    needed = ["av"] + (["onnxruntime"] if extractor.weights_sha256 else [])
    for package in needed:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "media")
