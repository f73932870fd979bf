"""The dataset folder: what is written is read back, and damage is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.feature import Feature, Manifest, ragged
from reeltag.errors import DatasetError
from tests.conftest import vector_feature


def posts(count: int = 3) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "post": [str(n) for n in range(count)],
            "user": ["a", None, "a"][:count],
            "hashtags": [["x", "y"], [], ["x"]][:count],
        }
    )


def test_counts_what_is_there(tmp_path: Path) -> None:
    made = Dataset.create(tmp_path / "d", posts(), source={"format": "test"})
    assert made.counts == {
        "posts": 3,
        "users": 1,
        "hashtags": 2,
        "uses": 3,
        "posts_without_user": 1,
        "posts_without_hashtags": 1,
        "posts_without_caption": 3,
        "posts_without_time": 3,
        "posts_with_clip": 0,
    }
    assert Dataset.open(tmp_path / "d").posts.equals(made.posts)


def test_columns_of_many_posts_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Dataset.create(tmp_path / "d", posts(), source={})
    few, many = Dataset.open(tmp_path / "d"), Dataset.open(tmp_path / "d")
    kept = few.columns("user", "hashtags")
    monkeypatch.setattr("reeltag.data.dataset._KEPT", 2)
    assert many.columns("user", "hashtags").equals(kept)
    assert "posts" in few.__dict__
    assert "posts" not in many.__dict__


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"user": ["a"]}), "need a column 'post'"),
        (pl.DataFrame({"post": ["1", "1"]}), "must be unique; '1'"),
        (pl.DataFrame({"post": ["1", None]}), "need an id each"),
    ],
)
def test_bad_posts_leave_nothing(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Dataset.create(tmp_path / "d", frame, source={})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    short = vector_feature("visual", np.zeros((2, 4)))
    with pytest.raises(DatasetError, match="has 2 posts, expected 3"):
        Dataset.create(tmp_path / "d", posts(), source={}, features=[short])
    assert not list(tmp_path.iterdir())


def test_no_dataset_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="reeltag import"):
        Dataset.open(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no dataset\.toml"):
        Dataset.open(tmp_path / "empty")


def test_damage_is_named(tmp_path: Path) -> None:
    made = Dataset.create(
        tmp_path / "d", posts(), source={}, features=[vector_feature("visual", np.ones((3, 2)))]
    )
    values = tmp_path / "d" / "features" / "visual-test" / "values.npy"
    values.write_bytes(values.read_bytes()[:40])
    with pytest.raises(DatasetError, match=r"visual-test/values\.npy is missing or damaged"):
        made.feature("visual-test")
    (tmp_path / "d" / "posts.parquet").write_bytes(b"nonsense")
    with pytest.raises(DatasetError, match=r"posts\.parquet is missing or damaged"):
        _ = Dataset.open(tmp_path / "d").posts
    (tmp_path / "d" / "dataset.toml").write_text("format = 99")
    with pytest.raises(DatasetError, match="format 99"):
        Dataset.open(tmp_path / "d")


def test_replace_refuses_what_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DatasetError, match="not replaced"):
        Dataset.create(tmp_path / "photos", posts(), source={}, replace=True)


def test_ragged_features_are_mapped_and_selected(tmp_path: Path) -> None:
    manifest = Manifest("visual-frames", "visual", "frames", "sequence", (2,), "float32", "clip")
    feature = ragged(manifest, [np.ones((2, 2)), None, np.full((1, 2), 7.0)])
    made = Dataset.create(tmp_path / "d", posts(), source={}, features=[feature])
    opened = made.feature("visual-frames")
    assert isinstance(opened.values, np.memmap)
    assert opened.present.tolist() == [True, False, True]
    assert opened.row(0).shape == (2, 2)
    assert opened.row(1).shape == (0, 2)
    chosen = opened.select(np.array([2, 0]))
    assert chosen.row(0).tolist() == [[7, 7]]
    assert chosen.row(1).tolist() == [[1, 1], [1, 1]]


def test_not_a_number_is_found(tmp_path: Path) -> None:
    values = np.zeros((3, 2))
    values[1, 1] = np.nan
    with pytest.raises(DatasetError, match="row 1 holds NaN"):
        vector_feature("visual", values).check()


def test_fingerprint_tells_how_not_what(dataset: Dataset) -> None:
    one = Manifest("visual-a", "visual", "a", "vector", (2,), "float32", "clip", options={"fps": 1})
    same = Manifest(
        "visual-b", "visual", "a", "vector", (2,), "float32", "clip", options={"fps": 1}
    )
    other = Manifest(
        "visual-a", "visual", "a", "vector", (2,), "float32", "clip", options={"fps": 2}
    )
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_clips_lie_under_the_sources_folder(tmp_path: Path) -> None:
    made = Dataset.create(tmp_path / "d", posts(), source={"clip_root": "/clips"})
    assert made.clip_path("a/b.mp4") == Path("/clips/a/b.mp4")
    assert made.clip_path("/else/c.mp4") == Path("/else/c.mp4")


def test_mismatched_arrays_are_refused() -> None:
    manifest = Manifest("visual-a", "visual", "a", "vector", (2,), "float32", "clip")
    with pytest.raises(DatasetError, match="expected \\(3, 2\\)"):
        Feature(manifest, np.zeros((3, 5)), np.ones(3, dtype=bool))


def test_fields_of_users_follow(tmp_path: Path) -> None:
    known = pl.DataFrame({"user": ["b", "a"], "age": [1, 2], "posts": [9, 9]})
    made = Dataset.create(tmp_path / "d", posts(), source={}, users=known)
    assert made.users.columns == ["user", "posts", "first", "last", "age"]
    assert made.users["age"].to_list() == [2]
    assert made.users["posts"].to_list() == [2]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (pl.DataFrame({"age": [1]}), "needs a column 'user'"),
        (pl.DataFrame({"user": ["a", "b", "a"], "age": [1, 2, 3]}), "has 'a' twice"),
        (pl.DataFrame({"user": ["a"], "age": [[1]]}), "'age' of the users is List"),
    ],
)
def test_bad_fields_leave_nothing(tmp_path: Path, known: pl.DataFrame, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Dataset.create(tmp_path / "d", posts(), source={}, users=known)
    assert not list(tmp_path.iterdir())
