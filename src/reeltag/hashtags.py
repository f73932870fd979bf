"""Text in, hashtags out: what a hashtag is, and how it is found, removed, normalised and split.

The grammar follows the hashtag identifiers of UTS #31 (Unicode), narrowed to what TikTok,
Instagram and Kuaishou accept:

* a sign (`#`, full-width `＃`, small `﹟`), then letters, marks, digits, underscores and emoji
  sequences (joined, with skin tones, flags, keycaps) of any script; `·` and `・` only inside.
  There must be a letter or an emoji: `#1` and `#2023` are numbers, and `#️⃣` is an emoji.
* `#a#b` are two hashtags. A sign after a letter or digit (`C#`, `word#tag`) is none, except after
  scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese), where `好看#话题` is usual.
* URLs (`https://…#part`, `www.…`, `site.org/page#part`) run to the next space and hold no
  hashtags, nor do character references such as `&#39;`.
* The closing sign of Weibo and Kuaishou (`#话题#`, also `#话题 #`) belongs to the hashtag and goes
  with it. Text right behind it (`#话题#文字`) reads as a second hashtag, as `#a#b` does.

Hashtags are returned without their sign. Columns are handled by polars' regular expressions
where a row is simple, and by the scalar functions on unique values where it is not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import log10
from typing import Any

import polars as pl
import regex

from reeltag.errors import MissingExtraError

SIGNS = "#＃﹟"

_LETTER = r"\p{L}"
_EMOJI = r"\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}"
_WORD = rf"{_LETTER}\p{{M}}\p{{N}}_"
_ANY = rf"{_WORD}{_EMOJI}\u200c\u200d\u00b7\u30fb\U000E0020-\U000E007F"
_BODY = (
    rf"(?=[{_ANY}]*?[{_LETTER}{_EMOJI}\u20e3])"
    rf"[{_LETTER}\p{{N}}_{_EMOJI}](?:[{_ANY}]*[{_WORD}{_EMOJI}\U000E0020-\U000E007F])?"
)
_SPACED = (
    r"[\p{L}\p{M}\p{N}_--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\ufe0e\ufe0f\u20e3]]"
)
_RUN = (
    rf"[{SIGNS}](?<!{_SPACED}.)(?P<tag>{_BODY})(?:[{SIGNS}](?P<tag>{_BODY}))*+"
    rf"(?:\p{{White_Space}}*+[{SIGNS}](?=\p{{White_Space}}|$))?"
)
_SKIPPED = (
    r"https?://\S+|www\.\S+|&\#(?:\d+|x[0-9a-f]+);"
    r"|(?<![\p{L}\p{N}_@.-])(?>(?:[a-z0-9-]++\.)+)[a-z]{2,}(?::\d+)?/\S*"
)
# Nearly all texts have nothing to skip, and are read ten times faster without looking for it.
_PATH = regex.compile(r"[.][a-zA-Z]{2,}(?::\d+)?/")
_PLAIN = regex.compile(_RUN, regex.V1)
_GRAMMAR = regex.compile(rf"{_SKIPPED}|{_RUN}", regex.V1 | regex.IGNORECASE)
_SPACE = regex.compile(r"\p{White_Space}+")

# The same grammar for rows that polars can do alone. They have nothing to skip; a run of hashtags
# follows something that allows it (_BEFORE) and ends at a space or a plain mark; every hashtag
# starts with a letter, digit or underscore, has a letter, and is of letters, marks and digits only.
_HAS_SIGN = rf"[{SIGNS}]"
_CLOSE = rf"\S[{SIGNS}]"
_BEFORE = rf"[[^{_WORD}{SIGNS}]\p{{Han}}\p{{Hiragana}}\p{{Katakana}}\x{{fe0e}}\x{{fe0f}}\x{{20e3}}]"
_SIMPLE_RUN = rf"(^|{_BEFORE})(?:[{SIGNS}][{_WORD}]+)+"
_NOT_SIMPLE = (
    rf"://|&#|\.[a-zA-Z]{{2,}}(?::\d+)?/|[wW][wW][wW]\."
    rf"|[{SIGNS}](?:[^\p{{L}}\p{{N}}_]|$)|[{SIGNS}][\p{{N}}\p{{M}}_]+(?:[^{_WORD}]|$)"
    rf"|[{SIGNS}][{_WORD}]+[^{_WORD}{SIGNS}\s.,;:!?)\"'…，。！？]"
)
_SIMPLE_TAG = rf"[{SIGNS}][{_WORD}]+"
_TAGS_OF = pl.col("text").str.extract_all(_SIMPLE_TAG)
_REST_OF = (
    pl.col("text").str.replace_all(rf"(?:\s*{_SIMPLE_TAG})+\s*|\s+", " ").str.strip_chars(" ")
)


def find(text: str) -> list[str]:
    """The hashtags of `text` as written, without their sign, in order, repeats included."""
    return [tag for match in _grammar(text).finditer(text) for tag in match.captures("tag")]


def strip(text: str) -> str:
    """`text` without its hashtags, runs of white space made one space; else `text` as it is."""
    stripped = _without_tags(text)
    if stripped == text:
        return text
    while (again := _without_tags(stripped)) != stripped:
        stripped = again
    return str(_SPACE.sub(" ", stripped)).strip(" ")


def normalise(tag: str) -> str:
    """The hashtag's one spelling: NFKC, case folded, without signs, spaces and control characters.

    Variation selectors go too, so that `❤` and `❤️` are one hashtag. `ß` becomes `ss`.
    Applying it twice changes nothing. May be empty: then it was no hashtag.
    """
    if tag.isascii() and tag.isalnum():
        return tag.lower()
    folded = _fold(tag)
    while (again := _fold(folded)) != folded:
        folded = again
    return folded


def find_column(texts: pl.Series) -> pl.Series:
    """`find` over a Utf8 column (n,) → List(Utf8) column (n,); null gives an empty list."""
    simple, odd = _kinds(texts)
    fast = texts.filter(simple).alias("text").to_frame().select(_TAGS_OF).to_series()
    return _find(texts, simple, odd, fast).list.eval(pl.element().str.slice(1))


def strip_column(texts: pl.Series) -> pl.Series:
    """`strip` over a Utf8 column (n,); rows without a sign, and nulls, stay as they are."""
    simple, odd = _kinds(texts)
    fast = texts.filter(simple).alias("text").to_frame().select(_REST_OF).to_series()
    return _strip(texts, simple, odd, fast)


def take_column(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Hashtags, each with a sign before it, and the rest of the text: both at the cost of one.

    For an importer: `normalise_column` takes the signs away.
    """
    simple, odd = _kinds(texts)
    # One query for both, so that polars works on them side by side.
    query = texts.filter(simple).alias("text").to_frame().lazy()
    fast = query.select(tags=_TAGS_OF, rest=_REST_OF).collect()
    return (
        _find(texts, simple, odd, fast["tags"]),
        _strip(texts, simple, odd, fast["rest"]),
    )


def normalise_column(tags: pl.Series) -> pl.Series:
    """`normalise` over a Utf8 column (n,); nulls stay null."""
    lower = tags.str.strip_chars(SIGNS).str.to_lowercase()
    odd = ~lower.str.contains(r"^[a-z0-9_]*$").fill_null(True)
    if not odd.any():
        return lower
    return lower.scatter(odd.arg_true(), _on_unique(tags.filter(odd), normalise, pl.Utf8()))


def split_words(tag: str, languages: Sequence[str] = ("en", "de")) -> list[str]:
    """Split a hashtag into words: `thegoodlife` → the good life.

    Underscores, digits and CamelCase decide where the raw form has them. The rest is cut where
    the product of word frequencies is largest (dynamic programming over `wordfreq`), in the one
    of `languages` that explains it best. Chinese is cut by its own list; other scripts written
    without spaces stay whole. Raises `MissingExtraError` without the text extra.
    """
    words: list[str] = []
    for chunk in _CHUNKS.findall(tag.lstrip(SIGNS)):
        if not _CUTTABLE.fullmatch(chunk):
            words.append(normalise(chunk))
            continue
        wanted = ("zh",) if _HAN.fullmatch(chunk) else tuple(languages)
        words.extend(_best_cut(normalise(chunk), wanted))
    return [word for word in words if word]


def split_by(tag: str, costs: Mapping[str, float]) -> list[str]:
    """Split a hashtag as `split_words` does, by a word list of your own, in any language.

    `costs`: -log10 of each word's frequency. Needs no extra.
    """
    words: list[str] = []
    for chunk in _CHUNKS.findall(tag.lstrip(SIGNS)):
        plain = normalise(chunk)
        cuttable = _CUTTABLE.fullmatch(chunk) and len(chunk) <= _LONGEST_TAG
        words.extend(
            _cut(plain, costs, spaced=not _HAN.fullmatch(chunk))[1] if cuttable else [plain]
        )
    return [word for word in words if word]


_CHUNKS = regex.compile(
    r"\p{Lu}{2,}(?=\p{Lu}\p{Ll}|[^\p{L}\p{M}]|$)|\p{Lu}?[\p{Ll}\p{Lo}\p{Lm}\p{M}]+|\p{Lu}+|\p{Lt}"
    rf"|\p{{N}}+\u20e3?|(?:[{_EMOJI}\u200d\ufe0f\U000E0020-\U000E007F])+"
)
_CUTTABLE = regex.compile(r"[\p{L}\p{M}]+")
_HAN = regex.compile(r"\p{Han}+")
_LONGEST_WORD = 24
_LONGEST_TAG = 200
_UNKNOWN = 7.0
_UNKNOWN_LETTER = 2.0
_LONE_LETTER = 4.0
_RARE, _RARE_LETTER, _SHORT = 6.0, 1.0, 8
_ALONE = frozenset("aiàoyéèu")


def _best_cut(chunk: str, languages: tuple[str, ...]) -> list[str]:
    if len(chunk) > _LONGEST_TAG:
        return [chunk]
    cuts = [_cut(chunk, _costs(language), language != "zh") for language in languages]
    return min(cuts, key=lambda cut: cut[0])[1] if cuts else [chunk]


def _cut(chunk: str, costs: Mapping[str, float], spaced: bool) -> tuple[float, list[str]]:
    """The cheapest cut and its cost; in a `spaced` script single letters are rarely words."""
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(chunk) + 1):
        options = []
        for start in range(max(0, end - _LONGEST_WORD), end):
            word = chunk[start:end]
            cost = costs.get(word, _UNKNOWN + _UNKNOWN_LETTER * len(word))
            if len(word) == 1 and spaced and word not in _ALONE:
                cost += _LONE_LETTER
            options.append((best[start][0] + cost, start))
        best.append(min(options))
    words: list[str] = []
    end = len(chunk)
    while end:
        start = best[end][1]
        words.append(chunk[start:end])
        end = start
    return best[-1][0], words[::-1]


@lru_cache(maxsize=8)
def _costs(language: str) -> dict[str, float]:
    try:
        import wordfreq
    except ImportError as fault:
        raise MissingExtraError("wordfreq (splitting hashtags into words)", "text") from fault
    frequencies: dict[str, float] = wordfreq.get_frequency_dict(language)
    return {word: _cost(word, frequency) for word, frequency in frequencies.items() if frequency}


def _cost(word: str, frequency: float) -> float:
    """-log10 of the frequency; long rare entries are mostly hashtags that got into the list."""
    cost = -log10(frequency)
    return cost + _RARE_LETTER * max(0, len(word) - _SHORT) * (cost > _RARE)


def _without_tags(text: str) -> str:
    return str(_grammar(text).sub(lambda m: m[0] if m["tag"] is None else " ", text))


def _grammar(text: str) -> regex.Pattern[str]:
    skips = "://" in text or "&#" in text or "www." in text.lower() or _PATH.search(text)
    return _GRAMMAR if skips else _PLAIN


_DROPPED = regex.compile(
    rf"[{SIGNS}\p{{White_Space}}\p{{Cc}}\ufe0e\ufe0f]|[\p{{Cf}}--[\u200c\u200d\U000E0020-\U000E007F]]",
    regex.V1,
)


def _fold(tag: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", tag).casefold())
    return str(_DROPPED.sub("", folded)).strip("\u200c\u200d")


def _kinds(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Masks of the rows polars can do alone and of those that need the scalar functions."""
    signed = texts.str.contains(_HAS_SIGN).fill_null(False)
    odd = signed.clone()
    if signed.any():
        some = texts.filter(signed)
        wrong = some.str.contains(_NOT_SIMPLE)
        close = some.str.contains(_CLOSE) & ~wrong  # the costly question, for those it concerns
        left = some.filter(close).str.replace_all(_SIMPLE_RUN, "$1").str.contains(_HAS_SIGN)
        odd = odd.scatter(signed.arg_true(), wrong.scatter(close.arg_true(), left))
    return signed & ~odd, odd


def _find(texts: pl.Series, simple: pl.Series, odd: pl.Series, fast: pl.Series) -> pl.Series:
    slow = _on_unique(texts.filter(odd), _find_signed, pl.List(pl.Utf8()))
    nothing = pl.repeat([], len(texts), dtype=pl.List(pl.Utf8()), eager=True).alias(texts.name)
    return _put_back(nothing, simple, fast, odd, slow)


def _strip(texts: pl.Series, simple: pl.Series, odd: pl.Series, fast: pl.Series) -> pl.Series:
    return _put_back(texts, simple, fast, odd, _on_unique(texts.filter(odd), strip, pl.Utf8()))


def _find_signed(text: str) -> list[str]:
    return ["#" + tag for tag in find(text)]


def _put_back(
    rest: pl.Series, simple: pl.Series, fast: pl.Series, odd: pl.Series, slow: pl.Series
) -> pl.Series:
    """`rest` (n,) with `fast` at the rows of mask `simple` and `slow` at those of `odd`."""
    parts = [(~(simple | odd), rest.filter(~(simple | odd))), (simple, fast), (odd, slow)]
    rows = pl.concat([mask.arg_true() for mask, _ in parts])
    values = pl.concat([part.alias(rest.name) for _, part in parts])
    return values.gather(rows.arg_sort())


def _on_unique(values: pl.Series, function: Callable[[str], Any], kind: pl.DataType) -> pl.Series:
    """`function` over a column, called once for each distinct value."""
    if values.is_empty():
        return pl.Series(values.name, [], dtype=kind)
    known = values.unique().drop_nulls()
    table = pl.DataFrame(
        {"key": known, "value": pl.Series([function(value) for value in known], dtype=kind)}
    )
    return (
        values.alias("key")
        .to_frame()
        .join(table, on="key", how="left", maintain_order="left")["value"]
        .alias(values.name)
    )
