"""A feature: a named, memory-mapped array over a dataset's posts, with a manifest.

Three kinds, by the shape of one post's entry:

    vector    (dim,)                one row a post
    sequence  (steps, dim)          ragged: frames, seconds of sound, words
    grid      (steps, regions, dim) ragged: regions of frames

On disk, `features/<name>/` holds `manifest.toml` (with the checksums of the others), `values.npy`
(rows of all posts, one after the other), `offsets.npy` for the ragged kinds (post n owns rows
offsets[n]:offsets[n+1]) and `present.npy` (false: the post lacks this modality).
Arrays are plain `.npy` without pickles and are opened memory-mapped.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reeltag.checksums import check_file, sha256_of
from reeltag.data.schema import MODALITIES
from reeltag.errors import DatasetError
from reeltag.storage import make_folder, read_toml, reserve, write_array, write_toml

FORMAT = 1
Kind = Literal["vector", "sequence", "grid"]
_BLOCK_ROWS = 4096
_IN_MEMORY = 256 << 20
"""Bytes of chosen rows that are gathered in memory; more go to a file."""


@dataclass(frozen=True)
class Manifest:
    """What a feature is and how it was made; equal fingerprints mean comparable values."""

    name: str
    """Folder name, `<modality>-<extractor>`."""
    modality: str
    """visual, acoustic or textual."""
    extractor: str
    """Registered extractor that made it, or `columns` for numeric columns of the source."""
    kind: Kind
    shape: tuple[int, ...]
    """Shape of one row of `values`: (dim,) or (regions, dim); () for a sequence of token ids."""
    dtype: str
    source: str
    """What it was read from: clip, caption or columns."""
    version: str = "1"
    weights_sha256: str = ""
    licence: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise DatasetError(
                f"Got modality {self.modality!r}, expected one of {', '.join(MODALITIES)}."
            )

    @property
    def fingerprint(self) -> str:
        """Short hash of everything that decides the values (not the name)."""
        what = {k: v for k, v in asdict(self).items() if k not in {"name", "licence"}}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


class Feature:
    """An opened feature; `values` stays on disk until rows of it are asked for."""

    def __init__(
        self,
        manifest: Manifest,
        values: NDArray[Any],
        present: NDArray[np.bool_],
        offsets: NDArray[np.int64] | None = None,
    ) -> None:
        self.manifest, self.values, self.present, self.offsets = manifest, values, present, offsets
        posts = len(present)
        rows = posts if offsets is None else int(offsets[-1])
        if (offsets is None) != (manifest.kind == "vector"):
            raise DatasetError(
                f"Feature {manifest.name!r}: a {manifest.kind} and its offsets clash."
            )
        if offsets is not None and len(offsets) != posts + 1:
            raise DatasetError(
                f"Feature {manifest.name!r}: {len(offsets)} offsets for {posts} posts, "
                f"expected {posts + 1}."
            )
        if values.shape != (rows, *manifest.shape):
            raise DatasetError(
                f"Feature {manifest.name!r}: values have shape {values.shape}, "
                f"expected {(rows, *manifest.shape)}."
            )

    def __len__(self) -> int:
        return len(self.present)

    @property
    def name(self) -> str:
        """The feature's folder name."""
        return self.manifest.name

    @property
    def dim(self) -> int:
        """Width of one vector (0 for token ids)."""
        return self.manifest.shape[-1] if self.manifest.shape else 0

    def row(self, post: int) -> NDArray[Any]:
        """One post's entry: (dim,), (steps, dim) or (steps, regions, dim)."""
        if self.offsets is None:
            return np.asarray(self.values[post])
        return np.asarray(self.values[self.offsets[post] : self.offsets[post + 1]])

    def rows(self, posts: NDArray[np.int64]) -> NDArray[Any]:
        """Entries of `posts` (n,) of a vector feature, as an (n, dim) copy."""
        if self.offsets is not None:
            raise DatasetError(f"Feature {self.name!r} is a {self.manifest.kind}, not a vector.")
        return np.asarray(self.values[posts])

    def select(self, posts: NDArray[np.int64]) -> Feature:
        """The feature restricted to `posts`, in that order; large ones gathered on disk."""
        if self.offsets is None:
            return Feature(self.manifest, np.asarray(self.values[posts]), self.present[posts])
        lengths = np.diff(self.offsets)[posts]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        index = np.repeat(self.offsets[posts] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Feature(self.manifest, _gathered(self.values, index), self.present[posts], offsets)

    def check(self, file: Path | None = None) -> None:
        """Raise `DatasetError` where a value is not finite, naming the post's row."""
        if not np.issubdtype(self.values.dtype, np.floating):
            return
        for start in range(0, len(self.values), _BLOCK_ROWS):
            block = self.values[start : start + _BLOCK_ROWS]
            bad = ~np.isfinite(block).reshape(len(block), -1).all(axis=1)
            if bad.any():
                row = start + int(bad.argmax())
                raise DatasetError(
                    f"{file or self.name}: row {row} holds NaN or infinity, expected numbers."
                )

    def save(self, folder: Path) -> None:
        """Write the feature into `folder` (new, made by the caller inside an atomic folder).

        Files that are there already belong to the feature and get their checksum, too.
        """
        make_folder(folder)
        write_array(folder / "values.npy", self.values)
        write_array(folder / "present.npy", self.present)
        if self.offsets is not None:
            write_array(folder / "offsets.npy", self.offsets)
        sums = {file.name: sha256_of(file) for file in sorted(folder.iterdir())}
        described = {"format": FORMAT, **asdict(self.manifest), "sha256": sums}
        write_toml(folder / "manifest.toml", described)

    @staticmethod
    def open(folder: Path) -> Feature:
        """Open a stored feature, memory-mapped. Raises `DatasetError` where it is damaged.

        All of it is read once, for its checksums.
        """
        stored = _read_manifest(folder)
        for file, sha256 in stored.get("sha256", {}).items():
            check_file(folder / file, sha256, DatasetError, "Extract it again.")
        manifest = _manifest_of(folder, stored)
        try:
            values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
            present = np.load(folder / "present.npy", allow_pickle=False)
            offsets = None
            if manifest.kind != "vector":
                offsets = np.load(folder / "offsets.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError) as fault:
            raise DatasetError(
                f"Feature {folder} is damaged: {fault}. Extract it again."
            ) from fault
        return Feature(manifest, values, present, offsets)


def _gathered(values: NDArray[Any], index: NDArray[np.int64]) -> NDArray[Any]:
    """Rows `index` of `values`: in memory, or in an unnamed file where they take much."""
    shape = (len(index), *values.shape[1:])
    size = int(np.prod(shape)) * values.itemsize
    if size <= max(_IN_MEMORY, 0):
        return np.asarray(values[index])
    with tempfile.TemporaryFile() as stream:
        reserve(Path(tempfile.gettempdir()), size, stream)
        found = np.memmap(stream, values.dtype, "r+", shape=shape)
    for start in range(0, len(index), _BLOCK_ROWS):
        found[start : start + _BLOCK_ROWS] = values[index[start : start + _BLOCK_ROWS]]
    return found


def read_manifest(folder: Path) -> Manifest:
    """Read `folder/manifest.toml`. Raises `DatasetError` where it is absent or too new."""
    return _manifest_of(folder, _read_manifest(folder))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.toml"
    if not path.is_file():
        raise DatasetError(f"{folder} is no feature: {path.name} is missing.")
    stored = read_toml(path, DatasetError)
    found = stored.pop("format", None)
    if found != FORMAT:
        raise DatasetError(f"{path}: got format {found}, this release reads {FORMAT}.")
    return stored


def _manifest_of(folder: Path, stored: dict[str, Any]) -> Manifest:
    known = {key: value for key, value in stored.items() if key != "sha256"}
    try:
        return Manifest(**{**known, "shape": tuple(known["shape"])})
    except (KeyError, TypeError) as fault:
        raise DatasetError(f"{folder / 'manifest.toml'} is damaged: {fault}.") from fault


def ragged(manifest: Manifest, entries: Iterable[NDArray[Any] | None]) -> Feature:
    """Build a sequence or grid from one array a post; None marks a missing modality."""
    kept: list[NDArray[Any]] = []
    lengths: list[int] = []
    present: list[bool] = []
    for entry in entries:
        present.append(entry is not None and len(entry) > 0)
        lengths.append(0 if entry is None else len(entry))
        if entry is not None and len(entry):
            kept.append(entry)
    values = (
        np.concatenate(kept).astype(manifest.dtype, copy=False)
        if kept
        else np.zeros((0, *manifest.shape), manifest.dtype)
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Feature(manifest, values, np.array(present, dtype=bool), offsets)
