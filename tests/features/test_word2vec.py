"""Word2vec files: both forms, any language, and what is wrong with those that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.errors import ConfigError
from reeltag.features.backbones import word_vectors
from reeltag.features.backbones.word_vectors import keep_vectors, kept_vectors, open_vectors
from reeltag.features.job import extract
from reeltag.features.registry import make, of_manifest
from reeltag.features.single import features_of
from reeltag.words import words

VECTORS = {
    "the": [0.5, -1.0, 2.0],
    "học": [1.0, 0.25, 0.0],
    "sinh": [0.0, 1.0, -3.5],
    "Paris": [2.0, 2.0, 2.0],
    "NASA": [3.0, 0.0, 3.0],
    "跳舞": [1.0, 1.0, 1.0],
    "跳": [-1.0, 0.0, 0.0],
    "喜": [0.0, -1.0, 0.0],
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test."""
    monkeypatch.setenv("REELTAG_CACHE", str(tmp_path / "cache"))
    open_vectors.cache_clear()
    return tmp_path / "cache"


def written(path: Path, form: str) -> Path:
    heading = f"{len(VECTORS)} 3\n".encode()
    with path.open("wb") as stream:
        if form != "glove":
            stream.write(heading)
        for word, row in VECTORS.items():
            if form == "binary":
                stream.write(word.encode() + b" " + struct.pack("<3f", *row) + b"\n")
            else:
                numbers = " ".join(f"{number:.4f}" for number in row)
                stream.write(f"{word} {numbers} \n".encode())
    return path


@pytest.mark.parametrize("form", ["text", "binary", "glove"])
def test_every_form_gives_the_same_vectors(form: str, tmp_path: Path) -> None:
    vectors = open_vectors(keep_vectors(written(tmp_path / "v.vec", form)))
    assert vectors.width == 3
    found = vectors.find(list(VECTORS))
    rows = vectors.vectors([row for _, row in found])
    np.testing.assert_allclose(rows, list(VECTORS.values()))


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_file_is_numpys_however_many_rows_are_held(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_vectors, "_AT_ONCE", at_once)
    file = written(tmp_path / "v.vec", "glove")
    with file.open("ab") as stream:
        stream.write(b"the 9 9 9\nlast 1 2 3\n")  # a word that comes again does not count
    kept = kept_vectors(keep_vectors(file))
    rows = np.array([*VECTORS.values(), [1, 2, 3]], dtype=np.float16)
    np.save(tmp_path / "expected.npy", rows)
    assert (kept / "vectors.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert pl.read_parquet(kept / "words.parquet")["word"].to_list() == [*VECTORS, "last"]


def test_words_are_found_in_any_language(tmp_path: Path) -> None:
    vectors = open_vectors(keep_vectors(written(tmp_path / "v.vec", "text")))
    found = vectors.find(words("The HỌC sinh of Paris: NASA's 我喜跳舞跳"))
    assert [word for word, _ in found] == ["the", "học", "sinh", "paris", "喜", "跳舞", "跳"]
    assert vectors.find(words("nasa"))[0][1] == list(VECTORS).index("NASA")
    # The same letters, composed in another way.
    decomposed = "ho\u0323c"
    assert vectors.find(words(decomposed)) == [("học", 1)]
    assert vectors.find([]) == []


def test_a_feature_is_made_again_from_the_cache_alone(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.vec", "binary")
    posts = pl.DataFrame(
        {"post": ["a", "b", "c"], "caption": ["the 跳舞", "", "unknown"], "hashtags": [["x"]] * 3}
    )
    made = Dataset.create(tmp_path / "data", posts, source={"format": "generated"})
    extract(made, textual=[f"word2vec:{file}"])
    feature = Dataset.open(tmp_path / "data").feature("textual-mine")
    assert feature.present.tolist() == [True, False, False]
    np.testing.assert_allclose(feature.values[:2], [VECTORS["the"], VECTORS["跳舞"]])
    file.unlink()
    again = of_manifest(feature.manifest)
    assert again.manifest().fingerprint == feature.manifest.fingerprint
    values = features_of([feature.manifest], caption="the 跳舞 !").values["textual-mine"]
    assert values is not None
    np.testing.assert_allclose(values, feature.values[:2])
    assert again.units("the 跳舞 unknown") == ["the", "跳舞"]  # type: ignore[attr-defined]
    open_vectors.cache_clear()
    kept = kept_vectors(feature.manifest.weights_sha256)
    for part in kept.iterdir():
        part.unlink()
    kept.rmdir()
    with pytest.raises(ConfigError, match="not in the cache"):
        of_manifest(feature.manifest)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no word"),
        (b"2 3\nthe 1 2 3\nof 1 2\n", "line 3.*expected a word and 3 numbers"),
        (b"the 1 2 3\nof 1 two 3\n", "line 2"),
        (b"2 3\nthe 1 2 3\nof 1 2 1e9\n", "'of' has a number"),
        (b"2 3\nthe 1 nan 3\nof 1 2 1\n", "'the' has a number"),
        (
            b"9 3\nthe " + struct.pack("<3f", 1, 2, 3) + b"\nof \x00\xff",
            "damaged at word 2 of the 9",
        ),
        (b"2 3\n" + b"\xff" * 9000, "damaged at word 1"),
        (b"99999999999 3\n", "expected 1 to"),
        (b"2 0\n", "expected 1 to"),
    ],
)
def test_what_is_no_such_file_says_where(
    content: bytes, says: str, tmp_path: Path, cache: Path
) -> None:
    file = tmp_path / "bad.vec"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        make("textual", f"word2vec:{file}")
    assert not list(cache.glob("words-*"))


def test_an_absent_file_and_a_wrong_modality() -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        make("textual", "word2vec:nowhere.vec")
    with pytest.raises(ConfigError, match="onnx:FILE"):
        make("visual", "word2vec:nowhere.vec")
