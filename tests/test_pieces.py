"""Words in pieces: what captions and hashtags have in common where they share no word."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from reeltag.hashtags import split_by
from reeltag.words import pieces, pieces_column, whole


def test_a_compound_shares_pieces_with_what_it_is_made_of() -> None:
    assert set(pieces("Steuererklärung")) & set(pieces("steuern"))
    assert not set(pieces("Steuererklärung")) & set(pieces("musik"))


def test_neighbouring_words_are_read_as_one_too() -> None:
    spelt = set(pieces("Hart of Dixie tonight"))
    assert {whole("hartofdixie"), whole("ofdixie"), whole("hart")} <= spelt
    assert whole("hartdixie") not in spelt


def test_ideographs_are_read_in_runs() -> None:
    assert set(pieces("我喜欢跳舞")) & set(pieces("跳舞"))
    assert whole("跳舞") in pieces("跳舞 now")


@given(st.text(max_size=30))
def test_any_text_has_distinct_sorted_pieces(text: str) -> None:
    found = pieces(text)
    assert found == sorted(set(found))
    assert all(0 < piece < 1 << 62 for piece in found)


def test_a_column_is_read_as_its_rows_are() -> None:
    captions = pl.Series(["a day at the sea", "", "sea", "a day at the sea"])
    assert pieces_column(captions).to_list() == [pieces(caption) for caption in captions]


def test_hashtags_are_cut_by_a_word_list_of_ones_own() -> None:
    costs = {"tages": 3.0, "zeitung": 3.0, "heute": 2.0, "tageszeitung": 4.0}
    assert split_by("tageszeitungheute", costs) == ["tageszeitung", "heute"]
    assert split_by("heute_20xyz", costs)[0] == "heute"
    assert split_by("", costs) == []
