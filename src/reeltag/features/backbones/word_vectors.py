"""A word2vec file in, its vectors by word out: values memory-mapped, words in an index.

Both forms that word2vec writes, and GloVe's text, which has no heading:

    text      [<words> <width>\\n]  then a line a word: the word, a space, its numbers
    binary    <words> <width>\\n    then the word, a space, its numbers as little-endian float32

The file is read once into the user's cache, under its hash, so that a run finds the very
same vectors again wherever the file went.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reeltag.errors import ConfigError
from reeltag.features.backbones.cache import cache_folder
from reeltag.progress import track
from reeltag.storage import atomic_folder, sha256_of, write_parquet

_MOST_WORDS, _MOST_NUMBERS, _LONGEST = 20_000_000, 4096, 4096
_AT_ONCE = 1 << 22
"""Numbers that are held in memory before they are written."""
_HEADING = re.compile(rb"(\d+)[ \t]+(\d+)[ \t]*\r?\n")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_JOINED = 6
"""Characters of the longest word of Chinese or Japanese that is looked up."""


class WordVectors:
    """Vectors (words, width), float16, of a kept file."""

    def __init__(self, folder: Path) -> None:
        self._values: NDArray[Any] = np.load(
            folder / "vectors.npy", mmap_mode="r", allow_pickle=False
        )
        names = pl.read_parquet(folder / "words.parquet")["word"].to_list()
        self._row = {name: row for row, name in enumerate(names)}

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self._values.shape[1])

    def find(self, words: Sequence[str]) -> list[tuple[str, int]]:
        """The known words of a caption and their rows, in order; unknown ones are left out.

        Words come in lower case, Chinese and Japanese ones as single characters: the longest
        run of these that the file has is taken as a word. Where the lower-case form is not
        there, the capitalised one is tried, then the part before an apostrophe.
        """
        found: list[tuple[str, int]] = []
        at = 0
        while at < len(words):
            word, used = words[at], 1
            if _HAN.fullmatch(word):
                for used in range(_run(words, at), 0, -1):
                    word = "".join(words[at : at + used])
                    if word in self._row:
                        break
            for form in (word, word.capitalize(), word.upper(), word.split("'")[0]):
                if form in self._row:
                    found.append((word, self._row[form]))
                    break
            at += used
        return found

    def vectors(self, rows: Sequence[int]) -> NDArray[np.float32]:
        """(n, width) of the rows."""
        return np.asarray(self._values[np.asarray(rows, dtype=np.int64)], dtype=np.float32)


def _run(words: Sequence[str], at: int) -> int:
    """How many single characters follow each other from `at`, at most so many as are joined."""
    end = at
    while end < min(len(words), at + _JOINED) and _HAN.fullmatch(words[end]):
        end += 1
    return end - at


def keep_vectors(file: Path) -> str:
    """Read a word2vec file into the cache and return its hash.

    Raises `ConfigError` where it is absent or no such file, naming the line or the word.
    """
    if not file.is_file():
        raise ConfigError(f"Got {file}, which does not exist; expected a word2vec file.")
    digest = sha256_of(file)
    target = kept_vectors(digest)
    if not target.is_dir():
        with atomic_folder(target) as folder, file.open("rb") as stream:
            _convert(file, stream, folder)
    return digest


def kept_vectors(digest: str) -> Path:
    """Where the vectors of the file with that SHA-256 are kept (whether they exist or not)."""
    return cache_folder() / f"words-{digest}"


@cache
def open_vectors(digest: str) -> WordVectors:
    """The kept vectors, opened once a process. Raises `ConfigError` where there are none."""
    folder = kept_vectors(digest)
    if not folder.is_dir():
        raise ConfigError(
            f"The word vectors with SHA-256 {digest} are not in the cache. Extract once more with "
            "--textual word2vec:FILE, or copy the cache of the machine that did: "
            f"expected {folder}."
        )
    return WordVectors(folder)


def _convert(file: Path, stream: IO[bytes], folder: Path) -> None:
    names: dict[str, None] = {}
    rows: list[NDArray[np.float32]] = []
    width = 0
    with (folder / "vectors.npy").open("wb") as vectors:
        for name, row in _entries(file, stream):
            if name in names:  # the first, which is the more frequent one, counts
                continue
            if not names:
                width = len(row)
                _head(vectors, 0, width)
            names[name] = None
            rows.append(row)
            if len(rows) * width >= _AT_ONCE:
                vectors.write(_half(file, names, rows))
                rows = []
        if not names:
            raise ConfigError(f"{file} holds no word; expected a word2vec file, text or binary.")
        if rows:
            vectors.write(_half(file, names, rows))
        vectors.seek(0)
        _head(vectors, len(names), width)
    write_parquet(folder / "words.parquet", pl.DataFrame({"word": list(names)}))


def _head(stream: IO[bytes], words: int, width: int) -> None:
    """NumPy's heading of an array (words, width), as long for any number of words."""
    described = {"descr": "<f2", "fortran_order": False, "shape": (words, width)}
    np.lib.format.write_array_header_1_0(stream, described)


def _half(file: Path, names: Iterable[str], rows: list[NDArray[np.float32]]) -> bytes:
    """The rows of the last of `names` as float16."""
    with np.errstate(over="ignore"):
        block = np.stack(rows).astype("<f2")
    wrong = ~np.isfinite(block).all(axis=1)
    if wrong.any():
        name = list(names)[int(wrong.argmax()) - len(rows)]
        raise ConfigError(
            f"{file}: the vector of {name!r} has a number that is none or beyond 65,504."
        )
    return block.tobytes()


def _entries(file: Path, stream: IO[bytes]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Words and vectors, one after the other."""
    start = stream.read(64)
    heading = _HEADING.match(start)
    count = width = None
    if heading is not None:
        count, width = int(heading[1]), int(heading[2])
        if not 1 <= count <= _MOST_WORDS or not 1 <= width <= _MOST_NUMBERS:
            raise ConfigError(
                f"{file} says it has {count:,} words of {width:,} numbers; expected 1 to "
                f"{_MOST_WORDS:,} of 1 to {_MOST_NUMBERS:,}."
            )
    stream.seek(0 if heading is None else heading.end())
    with track(f"reading {file.name}", count) as progress:
        binary = count is not None and width is not None and _is_binary(stream, width)
        found = (
            _binary(file, stream, count or 0, width or 0) if binary else _text(file, stream, width)
        )
        for entry in found:
            progress.advance()
            yield entry


def _is_binary(stream: IO[bytes], width: int) -> bool:
    """Whether what follows the heading is no line of text."""
    at = stream.tell()
    line = stream.readline(_LONGEST + 32 * width)
    stream.seek(at)
    try:
        return len(line.decode("utf-8").split()) < width + 1
    except UnicodeDecodeError:
        return True


def _text(
    file: Path, stream: IO[bytes], width: int | None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    longest = _LONGEST + 32 * (width or _MOST_NUMBERS)
    number = 1 if width is None else 2
    while line := stream.readline(longest):
        parts = line.decode("utf-8", errors="replace").rstrip().split(" ")
        if width is None:
            width = len(parts) - 1
        # A word may hold spaces: the numbers are the last ones.
        name, values = " ".join(parts[:-width]) if width else "", parts[len(parts) - width :]
        try:
            if not name or width > _MOST_NUMBERS:
                raise ValueError
            row = np.array(values, dtype=np.float32)
        except ValueError:
            raise ConfigError(
                f"{file}, line {number}: got {line[:60]!r}, expected a word and {width} numbers, "
                "with one space between them."
            ) from None
        yield name, row
        number += 1


def _binary(
    file: Path, stream: IO[bytes], count: int, width: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number in range(1, count + 1):
        letters = bytearray()
        while (letter := stream.read(1)) not in (b" ", b""):
            letters += letter
            if len(letters) > _LONGEST:
                break
        values = stream.read(4 * width)
        if letter != b" " or len(values) < 4 * width:
            raise ConfigError(
                f"{file} ends or is damaged at word {number:,} of the {count:,} it says it has."
            )
        name = bytes(letters).lstrip(b"\n").decode("utf-8", errors="replace")
        yield name, np.frombuffer(values, dtype="<f4")
