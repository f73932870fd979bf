"""Finished parts of a feature on disk: what was read of some posts goes in, the feature comes out.

    features/.<name>.partial/
        00000-<hash>.safetensors   contents, lengths, values of the part's posts; failures
The hash is that of the extractor and of the contents of the part's clips (or captions): a part is
kept where these are what they were, whatever became of files' names and times. A part is written
atomically, so whatever a kill leaves behind is whole.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from reeltag.checksums import SEAL, check_seal, sealed
from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature, Manifest
from reeltag.errors import DatasetError
from reeltag.features.contents import SIZE
from reeltag.features.earlier import CONTENTS, FAILURES, Earlier
from reeltag.features.worker import Reading
from reeltag.storage import (
    make_folder,
    reserve,
    telling,
    write_array,
    write_bytes,
    write_parquet,
)

_NAME = re.compile(r"([0-9]{5,})-[0-9a-f]{32}\.safetensors")
Contents = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Of posts (n), the SHA-256 of what is read of them as it is now: (n, 32)."""


class Shards:
    """The unfinished feature of one manifest.

    Args:
        rows: the posts it can have entries for.
        size: posts in a part.
        contents: what decides which parts of an earlier run are kept; the others are removed.
        earlier: the finished feature, from which all is taken but what has changed.
    """

    def __init__(
        self,
        dataset: Dataset,
        manifest: Manifest,
        rows: NDArray[np.int64],
        size: int,
        contents: Contents,
        earlier: Earlier | None = None,
    ) -> None:
        self.dataset, self.manifest, self.size = dataset, manifest, size
        self.rows, self._earlier = rows, earlier
        self.folder = _folder(dataset, manifest.name)
        self.count = -(-len(rows) // size)
        self.discarded = 0
        """Parts of an earlier run that were made from something else."""
        self.changed = 0 if earlier is None else int(earlier.changed.sum())
        """Clips that are not those the finished feature was read from."""
        self._files: dict[int, Path] = {}
        self._open(contents)

    def _open(self, contents: Contents) -> None:
        make_folder(self.folder)
        for file in sorted(self.folder.glob("*.safetensors")):
            found = _NAME.fullmatch(file.name)
            shard = int(found[1]) if found else self.count
            if shard < self.count and file == self._named(shard, contents(self.members(shard))):
                self._files[shard] = file
            else:
                file.unlink()
                self.discarded += 1

    def members(self, shard: int) -> NDArray[np.int64]:
        """Posts (rows of the dataset) of a shard."""
        return self.rows[shard * self.size : (shard + 1) * self.size]

    def wanted(self, shard: int) -> NDArray[np.bool_]:
        """Which of a shard's members are to be read: all, or those that have changed."""
        members = self.members(shard)
        if self._earlier is None:
            return np.ones(len(members), bool)
        return self._earlier.changed[members]

    def has(self, shard: int) -> bool:
        """Whether the shard is finished."""
        return shard in self._files

    def write(self, shard: int, readings: Mapping[int, Reading]) -> None:
        """Store a shard: `readings` of its wanted members, by post."""
        shape, dtype = self.manifest.shape, np.dtype(self.manifest.dtype)
        vector = self.manifest.kind == "vector"
        contents: list[bytes] = []
        failures: list[tuple[int, str]] = []
        lengths = np.zeros(len(self.members(shard)), np.int64)
        parts = [np.zeros((0, *shape), dtype)]
        for place, (post, wanted) in enumerate(
            zip(self.members(shard).tolist(), self.wanted(shard).tolist(), strict=True)
        ):
            if wanted or self._earlier is None:
                content, found = readings[post]
            else:
                content, found = self._earlier.reading(post)
            contents.append(content)
            if isinstance(found, str):
                failures.append((place, found))
                continue
            entry = found[self.manifest.name]
            if entry is not None and len(entry):
                parts.append(entry[None] if vector else entry)
                lengths[place] = len(parts[-1])
        digests = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, SIZE)
        values = np.ascontiguousarray(np.concatenate(parts), dtype=dtype)
        stored = save(
            {"values": values, "lengths": lengths, "contents": digests},
            # One entry: of several, safetensors writes any first, and equal parts are equal bytes.
            metadata={"about": json.dumps({"failures": failures, **SEAL})},
        )
        file = self._named(shard, digests)
        write_bytes(file, *sealed(stored))
        self._files[shard] = file

    def assemble(self) -> Feature:
        """Join the shards into the dataset's feature, atomically, one shard in memory at a time."""
        posts = self.dataset.counts["posts"]
        lengths = np.zeros(posts, np.int64)
        contents = np.zeros((posts, SIZE), np.uint8)
        failures: list[tuple[int, str]] = []
        for shard in range(self.count):
            members = self.members(shard)
            with self._checked(shard) as stored:
                lengths[members] = stored.get_tensor("lengths")
                contents[members] = stored.get_tensor("contents")
                about = json.loads(stored.metadata()["about"])
            failures += [(int(members[place]), reason) for place, reason in about["failures"]]
        present = lengths > 0
        vector = self.manifest.kind == "vector"
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = posts if vector else int(offsets[-1])
        file = self.folder / "values.npy"
        values = _zeros(file, (rows, *self.manifest.shape), self.manifest.dtype)
        at = 0
        for shard in range(self.count):
            with self._read(shard) as stored:
                block = stored.get_tensor("values")
            members = self.members(shard)
            if vector:
                values[members[lengths[members] > 0]] = block
            else:
                values[at : at + len(block)] = block
            at += len(block)
        feature = _Assembled(self.manifest, values, present, None if vector else offsets)
        feature.failures = self._named_failures(failures)
        feature.contents = contents if self.manifest.source == "clip" else None
        self.dataset.add_feature(feature)
        del feature, values
        discard(self.dataset, self.manifest.name)
        return self.dataset.feature(self.manifest.name)

    def _named(self, shard: int, contents: NDArray[np.uint8]) -> Path:
        made_from = hashlib.sha256(self.manifest.fingerprint.encode() + contents.tobytes())
        return self.folder / f"{shard:05d}-{made_from.hexdigest()[:32]}.safetensors"

    def _named_failures(self, failures: list[tuple[int, str]]) -> pl.DataFrame:
        """Columns post, clip and reason, in the order of the posts."""
        failed = self.dataset.posts[[post for post, _ in failures]].select("post", "clip")
        reasons = pl.Series("reason", [reason for _, reason in failures], dtype=pl.Utf8)
        return failed.with_columns(reasons)

    @contextmanager
    def _checked(self, shard: int) -> Iterator[Any]:
        with self._naming(shard):
            check_seal(self._files[shard])
        with self._read(shard) as stored:
            yield stored

    def _read(self, shard: int) -> Any:
        with self._naming(shard):
            return safe_open(self._files[shard], framework="numpy")

    @contextmanager
    def _naming(self, shard: int) -> Iterator[None]:
        try:
            yield
        except (SafetensorError, OSError, ValueError) as fault:
            raise DatasetError(
                f"{self._files[shard]} is damaged ({fault}). Remove it and extract again."
            ) from fault


def discard(dataset: Dataset, name: str) -> None:
    """Remove the shards of a feature."""
    shutil.rmtree(_folder(dataset, name), ignore_errors=True)


def _folder(dataset: Dataset, name: str) -> Path:
    return dataset.path / "features" / f".{name}.partial"


class _Assembled(Feature):
    """A feature that is stored together with its failures and with what it was read from."""

    failures: pl.DataFrame
    contents: NDArray[np.uint8] | None

    def save(self, folder: Path) -> None:
        write_parquet(folder / FAILURES, self.failures)
        if self.contents is not None:
            write_array(folder / CONTENTS, self.contents)
        super().save(folder)


def _zeros(file: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    if 0 in shape:
        return np.zeros(shape, dtype)
    with telling(file):
        values = np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(dtype), shape=shape)
    with file.open("r+b") as stream:
        reserve(file, file.stat().st_size, stream)
    return values
