"""Columns of hashtags: however many are normalised at once, the outcome is the same."""

from __future__ import annotations

import polars as pl
import pytest

from reeltag.data.importers import lists


@pytest.mark.parametrize("block", [1, 3, 8, 1000])
def test_lists_are_normalised_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["#Sea", "sea", ""], [], None, ["Straße", "b"], ["b", "B", "ä"]]
    tidied = [["sea"], [], [], ["strasse", "b"], ["b", "ä"]]
    monkeypatch.setattr(lists, "_BLOCK", block)
    tags = pl.Series("tags", rows * 5, dtype=pl.List(pl.Utf8))
    assert lists.tidy(tags).to_list() == tidied * 5
    assert lists.tidy(tags.clear()).to_list() == []
    assert lists.tidy(tags).name == "tags"
