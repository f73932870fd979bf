"""Columns of hashtags as sources write them in; List(Utf8) columns of normalised hashtags out.

A value may be a real list, JSON text `["a", "b"]`, a Python literal `['a', 'b']`, a bare list
`[a,b]`, or separated text. The separator of separated text is chosen for the whole column: comma,
semicolon or bar where any occurs (a value may then hold spaces), else white space and signs.
"""

from __future__ import annotations

import ast
import json

import polars as pl

from reeltag.hashtags import SIGNS, normalise_column

_QUOTED = r"'[^'\\]*'|\"[^\"\\]*\""
_SIMPLE = rf"^\s*\[\s*(?:(?:{_QUOTED})\s*(?:,\s*(?:{_QUOTED})\s*)*)?\]\s*$"
_SEPARATORS = {",": "[,，、]", ";": "[;；]", "|": r"[|｜]"}
_LONGEST = 100_000
_TAGS = pl.List(pl.Utf8())
_BLOCK = 1_000_000
"""Lists that are normalised at once: flat, they take several times the memory."""


def decode(values: pl.Series) -> pl.Series:
    """A column of lists or of text (n,) → List(Utf8) (n,); null and empty give an empty list."""
    if isinstance(values.dtype, pl.List | pl.Array):
        if values.dtype.inner.is_nested():
            named = [[_name(item) for item in row or ()] for row in values.to_list()]
            return pl.Series(values.name, named, dtype=_TAGS)
        return values.cast(_TAGS).fill_null([])
    text = values.cast(pl.Utf8).str.strip_chars()
    simple = text.str.contains(_SIMPLE).fill_null(False)
    if simple.all():
        return _quoted(text)
    known = text.unique().drop_nulls()
    table = pl.DataFrame({"key": known, "tags": _decode_text(known)})
    joined = text.alias("key").to_frame().join(table, on="key", how="left", maintain_order="left")
    return joined["tags"].fill_null([]).alias(values.name)


def tidy(tags: pl.Series) -> pl.Series:
    """List(Utf8) as written (n,) → normalised, without empty ones, each once, in written order."""
    parts = [_tidied(tags[at : at + _BLOCK]) for at in range(0, max(1, len(tags)), _BLOCK)]
    return pl.concat(parts)


def _tidied(tags: pl.Series) -> pl.Series:
    rows = tags.alias("tag").to_frame().with_row_index("row")
    flat = rows.explode("tag", empty_as_null=False, keep_nulls=False).drop_nulls("tag")
    flat = flat.with_columns(normalise_column(flat["tag"]).alias("tag")).filter(pl.col("tag") != "")
    found = flat.group_by("row", maintain_order=True).agg("tag")
    found = found.with_columns(pl.col("tag").list.unique(maintain_order=True))
    joined = rows.select("row").join(found, on="row", how="left", maintain_order="left")
    return joined["tag"].fill_null([]).alias(tags.name)


def _quoted(text: pl.Series) -> pl.Series:
    found = text.str.extract_all(_QUOTED)
    inner = pl.element().str.slice(1, pl.element().str.len_chars() - 2)
    return found.list.eval(inner).fill_null([])


def _decode_text(known: pl.Series) -> pl.Series:
    """Distinct texts (n,) → lists (n,)."""
    bracketed = known.str.contains(r"^[\[({].*[\])}]$")
    frame = pl.DataFrame({"text": known, "bracketed": bracketed}).with_row_index("row")
    inside = frame.filter("bracketed")
    outside = frame.filter(~pl.col("bracketed"))
    simple = inside["text"].str.contains(_SIMPLE)
    literal = inside.filter(~simple)
    parts = [
        (inside.filter(simple)["row"], _quoted(inside.filter(simple)["text"])),
        (literal["row"], pl.Series([_literal(text) for text in literal["text"]], dtype=_TAGS)),
        (outside["row"], _separated(outside["text"])),
    ]
    rows = pl.concat([row for row, _ in parts])
    return pl.concat([tags.alias("tags") for _, tags in parts]).gather(rows.arg_sort())


def _separated(text: pl.Series) -> pl.Series:
    counts = {mark: int(text.str.contains(mark, literal=True).sum()) for mark in _SEPARATORS}
    mark = max(counts, key=lambda name: counts[name])
    pattern = _SEPARATORS[mark] if counts[mark] else rf"[\s{SIGNS}]"
    return text.str.replace_all(pattern, "\x00").str.split("\x00")


def _literal(text: str) -> list[str]:
    """A bracketed text that needs a parser: JSON, then a Python literal, then bare words."""
    if len(text) <= _LONGEST:
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(value, list | tuple | set):
                return [_name(item) for item in value]
            if isinstance(value, dict):
                return [str(key) for key in value]
    return [word.strip(" '\"") for word in text[1:-1].replace("，", ",").split(",")]


def _name(item: object) -> str:
    """A list's entry as text; objects give their name, as TikTok's and Instagram's do."""
    if isinstance(item, dict):
        names = ("hashtagName", "hashtag_name", "name", "title", "text", "tag")
        return str(next((item[name] for name in names if item.get(name)), ""))
    return "" if item is None else str(item)
