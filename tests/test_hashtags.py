"""Hashtags: the grammar on examples, its laws on any Unicode, and columns equal to scalars."""

from __future__ import annotations

import sys

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reeltag import hashtags
from reeltag.errors import MissingExtraError

PIECES = [
    *("#", "＃", "﹟", "a", "B", "ß", "1", "_", " ", "\n", "·", "-", ",", ".", "/", "&", ";", "@"),
    *(
        "http://",
        "www.",
        "x.org/",
        "&#39;",
        "#️⃣",
        "1️⃣",
        "👍🏽",
        "👨‍👩‍👧",
        "🇩🇪",
        "❤️",
        "\u200d",
        "好看",
        "कि",
        "ｗ",
    ),
]
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("text", "tags", "rest"),
    [
        ("", [], ""),
        ("hello #world again", ["world"], "hello again"),
        ("#a#b", ["a", "b"], ""),
        ("＃Ton ﹟klein", ["Ton", "klein"], ""),
        ("#1 #2023 #_ # ##", [], "#1 #2023 #_ # ##"),
        ("#wm2022 #2fast", ["wm2022", "2fast"], ""),
        ("C# word#tag F#m", [], "C# word#tag F#m"),
        ("it&#39;s &#x27;x&#x27;", [], "it&#39;s &#x27;x&#x27;"),
        ("see http://a.b/c#d #e", ["e"], "see http://a.b/c#d"),
        ("WWW.a.b#c and site.org/p#q", [], "WWW.a.b#c and site.org/p#q"),
        ("爱你们#情感视频# #官方 # 好", ["情感视频", "官方"], "爱你们 好"),
        ("❤️#foo🔥 ok", ["foo🔥"], "❤️ ok"),
        ("#👨‍👩‍👧‍👦 #🇩🇪 #1️⃣ #👍🏽", ["👨‍👩‍👧‍👦", "🇩🇪", "1️⃣", "👍🏽"], ""),
        ("#️⃣ is a key", [], "#️⃣ is a key"),
        ("#नमस्ते #می‌خواهم #col·lecció", ["नमस्ते", "می‌خواهم", "col·lecció"], ""),
        ("(#x), #y!", ["x", "y"], "( ), !"),
        ("#end· x", ["end"], "· x"),
    ],
)
def test_find_and_strip(text: str, tags: list[str], rest: str) -> None:
    assert hashtags.find(text) == tags
    assert hashtags.strip(text) == rest
    assert hashtags.find_column(pl.Series([text])).to_list() == [tags]
    assert hashtags.strip_column(pl.Series([text])).to_list() == [rest]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("#TagesSchau", "tagesschau"),
        ("ＷＭ２０２２", "wm2022"),
        ("Straße", "strasse"),
        ("❤️", "❤"),
        ("cafe\u0301", "café"),
        ("#话题#", "话题"),
        ("new york", "newyork"),
        ("#", ""),
        ("a\u00ad\u200bb", "ab"),
        ("🏴\U000e0067\U000e0062\U000e007f", "🏴\U000e0067\U000e0062\U000e007f"),
    ],
)
def test_normalise(tag: str, expected: str) -> None:
    assert hashtags.normalise(tag) == expected


@given(texts)
@settings(max_examples=600)
def test_laws_of_find_and_strip(text: str) -> None:
    rest = hashtags.strip(text)
    assert hashtags.find(rest) == []
    assert len(rest) <= len(text)
    for tag in hashtags.find(text):
        assert tag in text
        assert hashtags.normalise(tag)


@given(st.text(st.characters(exclude_categories=()), max_size=40))
@settings(max_examples=200)
def test_any_unicode_is_survived(text: str) -> None:
    hashtags.find(text)
    hashtags.strip(text)


@given(texts)
@settings(max_examples=400)
def test_normalise_twice_is_once(tag: str) -> None:
    once = hashtags.normalise(tag)
    assert hashtags.normalise(once) == once
    assert hashtags.normalise(once.upper()) == hashtags.normalise(hashtags.normalise(once.upper()))


@given(st.lists(texts | st.none(), max_size=12))
@settings(max_examples=300)
def test_columns_equal_scalars(values: list[str | None]) -> None:
    column = pl.Series("caption", values, dtype=pl.Utf8)
    found = hashtags.find_column(column)
    assert found.to_list() == [hashtags.find(v) if v is not None else [] for v in values]
    stripped = hashtags.strip_column(column)
    assert stripped.to_list() == [hashtags.strip(v) if v is not None else None for v in values]
    taken, rest = hashtags.take_column(column)
    assert rest.to_list() == stripped.to_list()
    assert taken.list.eval(pl.element().str.slice(1)).to_list() == found.to_list()
    normal = hashtags.normalise_column(column)
    assert normal.to_list() == [hashtags.normalise(v) if v is not None else None for v in values]
    assert {found.name, stripped.name, normal.name} == {"caption"}


def test_long_hostile_text_takes_linear_time() -> None:
    for text in ("#" * 100_000, "a." * 50_000, "#1" * 50_000, "#a·" * 30_000, "a-" * 50_000):
        hashtags.strip(text)


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("thegoodlife", ["the", "good", "life"]),
        ("#TheGoodLife", ["the", "good", "life"]),
        ("BBCNews", ["bbc", "news"]),
        ("climate_change", ["climate", "change"]),
        ("wm2022", ["wm", "2022"]),
        ("photooftheday", ["photo", "of", "the", "day"]),
        ("gutenmorgen", ["guten", "morgen"]),
        ("tagesschau", ["tagesschau"]),
        ("bundestagswahl", ["bundestagswahl"]),
        ("感谢快手", ["感谢", "快手"]),
        ("love❤️", ["love", "❤"]),
        ("", []),
    ],
)
def test_split_words(tag: str, words: list[str]) -> None:
    pytest.importorskip("wordfreq", reason="the text extra is not installed")
    assert hashtags.split_words(tag) == words


def test_split_words_with_one_language() -> None:
    pytest.importorskip("wordfreq", reason="the text extra is not installed")
    assert hashtags.split_words("bonjourtoutlemonde", ("fr",)) == ["bonjour", "tout", "le", "monde"]


def test_split_words_names_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wordfreq", None)
    hashtags._costs.cache_clear()
    with pytest.raises(MissingExtraError, match=r"reeltag\[text\]"):
        hashtags.split_words("thegoodlife")
