"""The authors' `.npy` files of GCN-PHR in; raw rows, the split and three features out.

Ids: users 0..U-1, hashtags U..U+H-1, posts from U+H on. Since users < hashtags < posts, a row's
user is its smallest id and its post the largest, in whichever order a row lists them. Read are:

    train.npy          ((user, post), hashtag), or three flat columns in any order
    val.npy, test.npy  user, post, negatives and positives, in either of the known orders
    video_hashtag.npy  the hashtags of each post
    Feature*_normal.npy, user_list.txt, hashtag_list.txt, video_list.txt, where they are present

The rows' negatives are not kept. Where `video_hashtag.npy` is absent, a row's hashtags behind the
first 1,000 are its positives.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.data.feature import Feature, Manifest
from reeltag.data.importers.base import ROW, Loaded, Wanted
from reeltag.data.importers.restricted_npy import load_npy
from reeltag.errors import InputError, RowError

NEGATIVES = 1000
_FEATURES = {
    "visual": "FeatureVideo_normal.npy",
    "acoustic": "FeatureAudio_avg_normal.npy",
    "textual": "FeatureText_normal.npy",
}
_COLUMNS = ("post", "user", "hashtags", "part")
_LISTS = ("user_list.txt", "hashtag_list.txt", "video_list.txt")
Ids = NDArray[np.int64]


class GcnPhr:
    """The `gcn-phr` format."""

    name = "gcn-phr"

    def accepts(self, source: Path) -> bool:
        """By the one file that must exist."""
        return (source / "train.npy").is_file()

    def load(self, source: Path, wanted: Wanted) -> Loaded:
        """Read the folder."""
        if wanted.mapping or wanted.features:
            raise InputError(f"{source} has fixed columns. Leave out --map and --feature.")
        if wanted.user_fields:
            raise InputError(
                f"{source} says nothing about its users: it has {', '.join(_COLUMNS)}. Leave out "
                "--user-field, and pass a table of them: --users FILE."
            )
        if not self.accepts(source):
            raise InputError(f"{source} has no train.npy. Expected the GCN-PHR files.")
        users, hashtags, videos = (_names(source / name) for name in _LISTS)
        triples = _train(source / "train.npy")
        rows = {part: _rows(source / f"{stem}.npy") for part, stem in _HELD_OUT.items()}
        tags_of = _ragged(source / "video_hashtag.npy")
        features = {modality: _matrix(source / name) for modality, name in _FEATURES.items()}
        middles = [row[1:-1] for held in rows.values() for row in held if len(row) > 2]
        seen = np.concatenate([triples[:, 1], *(np.array([m[0], m[-1]]) for m in middles)])
        first_tag = len(users) if users else int(seen.min())
        posts = np.concatenate(
            [triples[:, 2], np.array([r[-1] for held in rows.values() for r in held], np.int64)]
        )
        count = max(
            [len(videos), len(tags_of), *(len(m) for m in features.values() if m is not None)]
        )
        first_post = _first_post(source, posts, first_tag, len(hashtags), count, bool(users))
        _check(source, triples, first_tag, first_post)
        count = max(count, int(posts.max()) - first_post + 1)
        table = _table(triples, rows, tags_of, first_tag, first_post, source)
        frame = pl.DataFrame({"id": np.arange(count) + first_post})
        frame = frame.join(table, on="id", how="left", maintain_order="left")
        frame = _named(frame, users, hashtags, videos, first_tag, first_post)
        made = [
            _feature(modality, matrix, count, source / _FEATURES[modality])
            for modality, matrix in features.items()
            if matrix is not None
        ]
        columns = {name: name for name in _COLUMNS}
        return Loaded(frame, columns, read=count, features=made)


_HELD_OUT = {"validation": "val", "test": "test"}


def _names(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        return [
            line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except UnicodeDecodeError as fault:
        raise InputError(f"{path} is not UTF-8. Save it as UTF-8.") from fault


def _train(path: Path) -> Ids:
    """Triples (n, 3) as user, hashtag, post."""
    value = load_npy(path)
    rows = value if isinstance(value, np.ndarray) else [_flat(row) for row in value]
    try:
        triples = np.array(rows, dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as fault:
        raise InputError(f"{path}: expected rows of three whole numbers ({fault}).") from fault
    if triples.ndim != 2 or triples.shape[1] != 3 or not len(triples):
        raise InputError(f"{path}: got shape {triples.shape}, expected rows of three ids.")
    return np.sort(triples, axis=1)


def _rows(path: Path) -> list[Ids]:
    """Held-out rows as user, hashtags in the order written, post; duplicates kept."""
    if not path.is_file():
        return []
    value = load_npy(path)
    rows: list[Ids] = []
    for number, row in enumerate(value, start=1):
        try:
            ids = np.array(_flat(row), dtype=np.int64)
        except (ValueError, TypeError, OverflowError) as fault:
            raise RowError(path, number, None, f"expected whole numbers ({fault})") from fault
        if len(ids) < 2:
            raise RowError(path, number, None, f"got {len(ids)} ids, expected user, post, hashtags")
        low, high = int(ids.argmin()), int(ids.argmax())
        middle = np.delete(ids, [low, high])
        rows.append(np.concatenate([ids[low : low + 1], middle, ids[high : high + 1]]))
    return rows


def _ragged(path: Path) -> list[Ids]:
    if not path.is_file():
        return []
    try:
        return [np.array(_flat(row), dtype=np.int64) for row in load_npy(path)]
    except (ValueError, TypeError, OverflowError) as fault:
        raise InputError(f"{path}: expected one list of hashtag ids a post ({fault}).") from fault


def _flat(row: Any) -> list[Any]:
    """A row's numbers, out of the tuples, lists and arrays within it."""
    if isinstance(row, np.ndarray):
        return list(row.reshape(-1).tolist())
    if isinstance(row, list | tuple):
        return list(chain.from_iterable(_flat(item) for item in row))
    return [row]


def _matrix(path: Path) -> NDArray[Any] | None:
    if not path.is_file():
        return None
    value = load_npy(path)
    try:
        matrix = value if isinstance(value, np.ndarray) else np.array(value, dtype=np.float32)
        if matrix.ndim == 2 and matrix.dtype.kind in "fiu":
            return matrix
    except (ValueError, TypeError) as fault:
        raise InputError(f"{path}: rows differ in length ({fault}).") from fault
    raise InputError(f"{path}: got {matrix.dtype} {matrix.shape}, expected numbers (posts, dim).")


def _first_post(
    source: Path, posts: Ids, first_tag: int, hashtags: int, count: int, users_known: bool
) -> int:
    """The smallest post id: from the lists, else from how many posts there are."""
    if users_known and hashtags:
        return first_tag + hashtags
    first = int(posts.max()) + 1 - count if count else int(posts.min())
    if first > int(posts.min()):
        raise InputError(
            f"{source}: post ids span {posts.min()}..{posts.max()}, but the files hold {count:,} "
            "posts. Expected consecutive ids; add user_list.txt and hashtag_list.txt."
        )
    return first


def _check(source: Path, triples: Ids, first_tag: int, first_post: int) -> None:
    """Users < hashtags < posts, or a clear error."""
    users, hashtags, posts = triples[:, 0], triples[:, 1], triples[:, 2]
    good = (users < first_tag) & (hashtags >= first_tag) & (hashtags < first_post)
    good &= (posts >= first_post) & (users >= 0)
    if not good.all():
        row = int((~good).argmax())
        raise RowError(
            source / "train.npy",
            row + 1,
            None,
            f"got ids {triples[row].tolist()}, expected a user below {first_tag}, a hashtag below "
            f"{first_post} and a post from there on",
        )


def _table(
    triples: Ids,
    rows: dict[str, list[Ids]],
    tags_of: list[Ids],
    first_tag: int,
    first_post: int,
    source: Path,
) -> pl.DataFrame:
    """One row a post that occurs: id, user (id), tags (ids), part."""
    frame = pl.DataFrame(triples, schema=["user", "tag", "id"], orient="row")
    parts = [
        frame.group_by("id", maintain_order=True)
        .agg(pl.col("user").first(), pl.col("tag").alias("tags"))
        .with_columns(pl.lit("train").alias("part"))
    ]
    schema = {"id": pl.Int64(), "user": pl.Int64(), "tags": pl.List(pl.Int64()), "part": pl.Utf8()}
    offset = _offset(triples, tags_of, first_tag, first_post)
    for part, held in rows.items():
        records = []
        for number, row in enumerate(held, start=1):
            user, post = int(row[0]), int(row[-1])
            middle = row[1:-1]
            if (
                user >= first_tag
                or post < first_post
                or ((middle < first_tag) | (middle >= first_post)).any()
            ):
                name = source / f"{_HELD_OUT[part]}.npy"
                raise RowError(
                    name, number, None, "ids lie outside the ranges of users, hashtags and posts"
                )
            tags = middle[NEGATIVES:] if not tags_of else tags_of[post - first_post] + offset
            records.append((post, user, tags.tolist(), part))
        parts.append(pl.DataFrame(records, schema=schema, orient="row"))
    table = pl.concat(parts).unique("id", keep="first", maintain_order=True)
    if not tags_of:
        return table
    known = pl.DataFrame(
        {
            "id": np.arange(len(tags_of)) + first_post,
            "listed": pl.Series(
                [(tags + offset).tolist() for tags in tags_of], dtype=pl.List(pl.Int64)
            ),
        }
    )
    table = known.join(table, on="id", how="left", maintain_order="left")
    return table.with_columns(pl.col("listed").alias("tags")).drop("listed")


def _offset(triples: Ids, tags_of: list[Ids], first_tag: int, first_post: int) -> int:
    """What to add to the ids in video_hashtag.npy: 0, or U where they count from 0."""
    for _, tag, post in triples[:1000]:
        place = int(post) - first_post
        if place < len(tags_of) and tag not in tags_of[place] and tag - first_tag in tags_of[place]:
            return first_tag
    return 0


def _named(
    frame: pl.DataFrame,
    users: list[str],
    hashtags: list[str],
    videos: list[str],
    first_tag: int,
    first_post: int,
) -> pl.DataFrame:
    """Ids replaced by names where there are lists, else by their numbers as text."""

    def name(ids: pl.Expr, names: list[str], first: int) -> pl.Expr:
        if not names:
            return ids.cast(pl.Utf8)
        table = {first + place: text for place, text in enumerate(names)}
        return ids.replace_strict(table, default=ids.cast(pl.Utf8), return_dtype=pl.Utf8)

    return frame.with_row_index(ROW, offset=1).select(
        ROW,
        name(pl.col("id"), videos, first_post).alias("post"),
        name(pl.col("user"), users, 0).alias("user"),
        pl.col("tags").list.eval(name(pl.element(), hashtags, first_tag)).alias("hashtags"),
        "part",
    )


def _feature(modality: str, matrix: NDArray[Any], count: int, path: Path) -> Feature:
    if len(matrix) != count:
        raise InputError(
            f"{path}: got {len(matrix):,} rows, expected one for each of {count:,} posts."
        )
    values = np.asarray(matrix, dtype=np.float32)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(axis=1))
    values = np.where(finite[:, None], values, np.float32(0))
    manifest = Manifest(
        name=f"{modality}-gcn-phr",
        modality=modality,
        extractor="gcn-phr",
        kind="vector",
        shape=(values.shape[1],),
        dtype="float32",
        source="caption" if modality == "textual" else "clip",
    )
    return Feature(manifest, values, finite & values.any(axis=1))
