"""The Dataset: a folder that describes itself, opened without reading a feature into memory.

dataset.toml            format version, source, counts, hashes
posts.parquet           see `reeltag.data.schema`
users.parquet           one row a user
features/<name>/        see `reeltag.data.feature`
splits/<name>.parquet   post, part; with splits/<name>.toml saying how it was made
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from reeltag.checksums import check_file, sha256_of
from reeltag.data.feature import Feature, Manifest, read_manifest
from reeltag.data.schema import conform, users_of
from reeltag.errors import DatasetError
from reeltag.storage import atomic_folder, read_toml, write_parquet, write_toml

FORMAT = 1
_KEPT = 1_000_000
"""Posts of which all columns are kept in memory once one of them was wanted."""


class Dataset:
    """An opened dataset folder. Posts and users are read on first use, features mapped."""

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path, self.description = path, description

    @classmethod
    def open(cls, path: Path | str) -> Dataset:
        """Open the dataset at `path`. Raises `DatasetError` where there is none."""
        path = Path(path)
        toml = path / "dataset.toml"
        if not toml.is_file():
            hint = "It does not exist." if not path.exists() else "It has no dataset.toml."
            raise DatasetError(
                f"{path} is no ReelTag dataset. {hint} Make one: reeltag import SOURCE {path}"
            )
        description = read_toml(toml, DatasetError)
        found = description.get("format")
        if found != FORMAT:
            raise DatasetError(f"{toml}: got format {found}, this release reads {FORMAT}.")
        return cls(path, description)

    @classmethod
    def create(
        cls,
        path: Path | str,
        posts: pl.DataFrame,
        *,
        source: Mapping[str, Any],
        features: Iterable[Feature] = (),
        users: pl.DataFrame | None = None,
        replace: bool = False,
    ) -> Dataset:
        """Write a new dataset atomically and open it.

        Args:
            posts: columns of `reeltag.data.schema.POSTS`; absent optional ones become null.
            source: where the posts came from and what was done to them, for `dataset.toml`.
            features: one entry a post, in the order of `posts`.
            users: what is known about users, one row each: `user` and any fields.
            replace: overwrite a dataset of that name instead of refusing.
        """
        path = Path(path)
        if replace and path.exists() and not (path / "dataset.toml").is_file():
            raise DatasetError(f"{path} is no ReelTag dataset, so it is not replaced.")
        posts = conform(posts)
        with atomic_folder(path, replace=replace) as folder:
            write_parquet(folder / "posts.parquet", posts)
            counted = users_of(posts, users)
            write_parquet(folder / "users.parquet", counted)
            for feature in features:
                if len(feature) != posts.height:
                    raise DatasetError(
                        f"Feature {feature.name!r} has {len(feature)} posts, "
                        f"expected {posts.height}."
                    )
                feature.save(folder / "features" / feature.name)
            write_toml(
                folder / "dataset.toml",
                {
                    "format": FORMAT,
                    "source": dict(source),
                    "counts": counts_of(posts, counted),
                    "sha256": {
                        name: sha256_of(folder / name)
                        for name in ("posts.parquet", "users.parquet")
                    },
                },
            )
        return cls.open(path)

    @cached_property
    def posts(self) -> pl.DataFrame:
        """All posts, in stored order. Shape: (posts, len(POSTS))."""
        return self._read(self.path / "posts.parquet")

    def columns(self, *names: str) -> pl.DataFrame:
        """These columns of all posts. Of many posts they are read anew and not kept."""
        if "posts" in self.__dict__ or self.counts["posts"] <= _KEPT:
            return self.posts.select(names)
        return self._read(self.path / "posts.parquet", names)

    @cached_property
    def users(self) -> pl.DataFrame:
        """All users: user, posts, first, last, and whatever fields are known of them."""
        return self._read(self.path / "users.parquet")

    @property
    def counts(self) -> dict[str, int]:
        """posts, users, hashtags, uses ... as counted when the dataset was written."""
        return dict(self.description["counts"])

    @property
    def features(self) -> dict[str, Manifest]:
        """Manifests of the stored features by name, sorted."""
        root = self.path / "features"
        folders = sorted(p for p in root.iterdir() if _visible(p)) if root.is_dir() else []
        return {folder.name: read_manifest(folder) for folder in folders}

    def feature(self, name: str) -> Feature:
        """Open one feature, memory-mapped. Raises `DatasetError` where it is absent."""
        folder = self.path / "features" / name
        if not folder.is_dir():
            have = ", ".join(self.features) or "none"
            raise DatasetError(f"{self.path} has no feature {name!r}; it has: {have}.")
        feature = Feature.open(folder)
        if len(feature) != self.counts["posts"]:
            raise DatasetError(
                f"{folder} covers {len(feature)} posts, the dataset has {self.counts['posts']}."
            )
        return feature

    def add_feature(self, feature: Feature) -> None:
        """Store a feature over all posts atomically, replacing one of that name."""
        if len(feature) != self.counts["posts"]:
            raise DatasetError(
                f"Feature {feature.name!r} has {len(feature)} posts, "
                f"expected {self.counts['posts']}."
            )
        with atomic_folder(self.path / "features" / feature.name, replace=True) as folder:
            feature.save(folder)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the stored splits, sorted."""
        root = self.path / "splits"
        return tuple(sorted(p.stem for p in root.glob("*.parquet"))) if root.is_dir() else ()

    def clip_path(self, clip: str) -> Path:
        """Where a post's `clip` lies: as it is if absolute, else under the source's folder."""
        path = Path(clip)
        root = self.description["source"].get("clip_root")
        return path if path.is_absolute() or root is None else Path(root) / path

    def _read(self, path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
        sums = self.description.get("sha256", {})
        check_file(path, sums.get(path.name), DatasetError, "Import the posts again.")
        try:
            return pl.read_parquet(path, columns=None if columns is None else list(columns))
        except (OSError, pl.exceptions.PolarsError) as fault:
            raise DatasetError(f"{path} cannot be read: {fault}") from fault


def counts_of(posts: pl.DataFrame, users: pl.DataFrame) -> dict[str, int]:
    """What a dataset holds: posts, users, hashtags, uses, and posts lacking each thing."""
    tags = posts["hashtags"].explode(empty_as_null=False)
    return {
        "posts": posts.height,
        "users": users.height,
        "hashtags": tags.n_unique(),
        "uses": len(tags),
        "posts_without_user": posts["user"].null_count(),
        "posts_without_hashtags": int((posts["hashtags"].list.len() == 0).sum()),
        "posts_without_caption": int((posts["caption"] == "").sum()),
        "posts_without_time": posts["time"].null_count(),
        "posts_with_clip": posts.height - posts["clip"].null_count(),
    }


def _visible(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
