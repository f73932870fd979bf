"""Finished parts of a feature on disk: arrays of some posts go in, the whole feature comes out.

    features/.<name>.partial/
        plan.toml              what the shards belong to; another plan discards them
        00000.safetensors      present, lengths, values of the shard's posts; failures
A shard is written atomically, so whatever a kill leaves behind is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
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
from reeltag.storage import (
    make_folder,
    read_toml,
    reserve,
    telling,
    write_bytes,
    write_parquet,
    write_toml,
)

FAILURES = {"post": pl.Utf8(), "clip": pl.Utf8(), "reason": pl.Utf8()}
"""Columns of `failures.parquet`."""


class Shards:
    """The unfinished feature of one manifest. `rows` are the posts it can have entries for."""

    def __init__(
        self, dataset: Dataset, manifest: Manifest, rows: NDArray[np.int64], size: int
    ) -> None:
        self.dataset, self.manifest, self.size = dataset, manifest, size
        self.rows = rows
        self.folder = dataset.path / "features" / f".{manifest.name}.partial"
        self.count = -(-len(rows) // size)
        self._open()

    def _open(self) -> None:
        posts = self.dataset.description.get("sha256", {}).get("posts.parquet", "")
        plan = {
            "fingerprint": self.manifest.fingerprint,
            "posts_sha256": posts,
            "posts": len(self.rows),
            "size": self.size,
        }
        file = self.folder / "plan.toml"
        if self.folder.exists():
            try:
                if read_toml(file, DatasetError) == plan:
                    return
            except (DatasetError, OSError):
                pass
            shutil.rmtree(self.folder)
        make_folder(self.folder)
        write_toml(file, plan)

    def members(self, shard: int) -> NDArray[np.int64]:
        """Posts (rows of the dataset) of a shard."""
        return self.rows[shard * self.size : (shard + 1) * self.size]

    def has(self, shard: int) -> bool:
        """Whether the shard is finished."""
        return self._file(shard).is_file()

    def write(
        self, shard: int, entries: Sequence[NDArray[Any] | None], failures: list[list[str]]
    ) -> None:
        """Store a shard: an entry a member, None where the modality is missing.

        `failures`: [post, clip, reason] of members that could not be read.
        """
        shape, dtype = self.manifest.shape, np.dtype(self.manifest.dtype)
        parts = [
            entry[None] if self.manifest.kind == "vector" else entry
            for entry in entries
            if entry is not None and len(entry)
        ]
        lengths = [
            0 if e is None else (1 if self.manifest.kind == "vector" else len(e)) for e in entries
        ]
        values = np.concatenate(parts) if parts else np.zeros((0, *shape), dtype)
        content = save(
            {
                "values": np.ascontiguousarray(values, dtype=dtype),
                "lengths": np.array(lengths, dtype=np.int64),
            },
            # One entry: of several, safetensors writes any first, and equal parts are equal bytes.
            metadata={"about": json.dumps({"failures": failures, **SEAL})},
        )
        write_bytes(self._file(shard), *sealed(content))

    def failed(self) -> pl.DataFrame:
        """All failures: post, clip, reason, in the order of the posts."""
        rows: list[list[str]] = []
        for shard in range(self.count):
            with self._read(shard) as stored:
                about = stored.metadata()
            # Those of 0.1.0 have no seal, and no more than failures.
            first = about.get("failures")
            rows += json.loads(first) if first else json.loads(about["about"])["failures"]
        return pl.DataFrame(rows, schema=FAILURES, orient="row")

    def assemble(self) -> Feature:
        """Join the shards into the dataset's feature, atomically, one shard in memory at a time."""
        posts = self.dataset.counts["posts"]
        lengths = np.zeros(posts, np.int64)
        for shard in range(self.count):
            self._check(shard)
            with self._read(shard) as stored:
                lengths[self.members(shard)] = stored.get_tensor("lengths")
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
        feature.failures = self.failed()
        self.dataset.add_feature(feature)
        del feature, values
        self.discard()
        return self.dataset.feature(self.manifest.name)

    def discard(self) -> None:
        """Remove the shards."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, shard: int) -> Path:
        return self.folder / f"{shard:05d}.safetensors"

    def _check(self, shard: int) -> None:
        with self._naming(shard):
            check_seal(self._file(shard))

    def _read(self, shard: int) -> Any:
        with self._naming(shard):
            return safe_open(self._file(shard), framework="numpy")

    @contextmanager
    def _naming(self, shard: int) -> Iterator[None]:
        try:
            yield
        except (SafetensorError, OSError, ValueError) as fault:
            raise DatasetError(
                f"{self._file(shard)} is damaged ({fault}). Remove it and extract again."
            ) from fault


class _Assembled(Feature):
    """A feature that is stored together with its failures."""

    failures: pl.DataFrame

    def save(self, folder: Path) -> None:
        write_parquet(folder / "failures.parquet", self.failures)
        super().save(folder)


def _zeros(file: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    if 0 in shape:
        return np.zeros(shape, dtype)
    with telling(file):
        values = np.lib.format.open_memmap(file, mode="w+", dtype=np.dtype(dtype), shape=shape)
    with file.open("r+b") as stream:
        reserve(file, file.stat().st_size, stream)
    return values
