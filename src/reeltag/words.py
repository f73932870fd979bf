"""A caption goes in, its words come out: Latin scripts, Chinese and Japanese, and emoji."""

from __future__ import annotations

import hashlib
import unicodedata

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
