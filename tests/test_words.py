"""Words of captions in many scripts."""

from __future__ import annotations

import pytest

from reeltag.words import words


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Don't STOP: 3 songs, naïve café", ["don't", "stop", "3", "songs", "naïve", "café"]),
        ("Größe ändern straße", ["größe", "ändern", "straße"]),
        ("Hôm nay trời đẹp quá!", ["hôm", "nay", "trời", "đẹp", "quá"]),
        ("精神小伙，路难走 OK", ["精", "神", "小", "伙", "路", "难", "走", "ok"]),
        ("晚饭后，运动一下！2024", ["晚", "饭", "后", "运", "动", "一", "下", "2024"]),
        ("ラーメンを食べる", ["ラ", "ー", "メ", "ン", "を", "食", "べ", "る"]),
        ("Привет, как дела", ["привет", "как", "дела"]),
        ("안녕하세요 서울", ["안녕하세요", "서울"]),
        ("มาเที่ยวกัน", ["มาเที่ยวกัน"]),
        ("🎉🎉 👍🏽 🇻🇳", ["🎉", "🎉", "👍", "🇻🇳"]),
        ("@ann see https://x.y/z now", ["see", "now"]),
        ("", []),
        ("…!?", []),
    ],
)
def test_words_of_a_caption(caption: str, expected: list[str]) -> None:
    assert words(caption) == expected


def test_one_spelling_for_one_word() -> None:
    """Vietnamese is typed with marks composed or apart, Latin letters also in full width."""
    assert words("đẹp quá") == words("đe\u0323p qua\u0301")
    assert words("Ｈｅｌｌｏ") == words("hello")
