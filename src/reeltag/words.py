"""A caption goes in, its words and their pieces come out: any script, and emoji."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import lru_cache

import polars as pl
import regex

LIST = pl.List(pl.Utf8())
_NOISE = regex.compile(r"https?://\S+|www\.\S+|[@＠][\w.]+")
_WORD = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}]"  # written without spaces: a character a word
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}])[\p{L}\p{M}\p{N}])+(?:['’]\p{L}+)*"
    r"|\p{Regional_Indicator}{2}"
    r"|\p{Extended_Pictographic}"
)


def words(caption: str) -> list[str]:
    """Lower-case words of a caption, in order.

    Addresses and @mentions are left out; an ideograph, a kana or an emoji is a word of its
    own (skin tones and joiners dropped, flags kept whole).

    Example:
        words("Don't stop 跳舞 🎉 https://x.y")  # ["don't", "stop", "跳", "舞", "🎉"]
    """
    text = unicodedata.normalize("NFKC", _NOISE.sub(" ", caption)).lower()
    return [match.replace("’", "'") for match in _WORD.findall(text)]


def words_column(captions: pl.Series) -> pl.Series:
    """The distinct words of each caption (n,), sorted: a List(Utf8) column (n,).

    Each distinct caption is read once.
    """
    unique = captions.unique()
    read = pl.DataFrame(
        {"caption": unique, "words": pl.Series([sorted(set(words(c))) for c in unique], dtype=LIST)}
    )
    found = (
        captions.alias("caption")
        .to_frame()
        .join(read, on="caption", how="left", maintain_order="left")
    )
    return found["words"]


def hashed(word: str, size: int) -> int:
    """A stable id of `word` in 1..size-1; 0 stays free for padding."""
    digest = hashlib.blake2b(word.encode("utf-8"), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "little") % (size - 1)


PIECE_LENGTHS = (3, 4, 5)
"""Letters in a piece of a word, its ends counted as letters."""
IDEOGRAPH_LENGTHS = (2, 3)
"""The same in a run of ideographs or kana."""
MOST_JOINED = 3
"""Neighbouring words that are tried as one: a hashtag is often such a run."""
_PIECES = 1 << 62
_IDEOGRAPH = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")


def pieces(caption: str) -> list[int]:
    """Ids of what the words of a caption are made of, distinct and sorted.

    Pieces are the runs of letters inside `<word>`, the word whole, and every few neighbouring
    words written as one (`hart of dixie` has `<hartofdixie>`), so that captions and hashtags
    can be compared where they share no word. Neighbouring ideographs are one word here. An id
    is a hash of the piece: no vocabulary is needed, and equal pieces are equal everywhere.
    """
    read = tokens(caption)
    found = {piece for token in read for piece in _pieces_of(token)}
    for joined in range(2, MOST_JOINED + 1):
        runs = zip(*(read[start:] for start in range(joined)), strict=False)
        found |= {whole("".join(run)) for run in runs}
    return sorted(found)


def whole(word: str) -> int:
    """The id of the piece that is the whole `word`."""
    return hashed(f"<{word}>", _PIECES)


def pieces_column(captions: pl.Series) -> pl.Series:
    """`pieces` of each caption (n,): a List(Int64) column (n,). Each distinct one is read once."""
    unique = captions.unique()
    found = pl.Series([pieces(caption) for caption in unique], dtype=pl.List(pl.Int64))
    read = pl.DataFrame({"caption": unique, "pieces": found})
    rows = captions.alias("caption").to_frame()
    return rows.join(read, on="caption", how="left", maintain_order="left")["pieces"]


def tokens(caption: str) -> list[str]:
    """Words in order, neighbouring ideographs and kana as one."""
    found: list[str] = []
    open_run = False
    for word in words(caption):
        ideograph = _IDEOGRAPH.match(word) is not None
        if ideograph and open_run:
            found[-1] += word
        else:
            found.append(word)
        open_run = ideograph
    return found


@lru_cache(maxsize=1 << 16)
def _pieces_of(token: str) -> frozenset[int]:
    lengths = IDEOGRAPH_LENGTHS if _IDEOGRAPH.match(token) else PIECE_LENGTHS
    text = f"<{token}>"
    runs = {text[start : start + n] for n in lengths for start in range(len(text) - n + 1)}
    return frozenset(hashed(run, _PIECES) for run in runs | {text})
