"""Features from columns: numbers, codes, texts and what is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reeltag.data.importers import import_posts
from reeltag.data.importers.columns import MOST, encode, feature_of
from reeltag.errors import InputError


def test_numbers_stay_and_codes_get_a_place_each() -> None:
    many = pl.Series("n", [float(value) for value in range(20)])
    assert encode(many)[0].ravel().tolist() == list(range(20))
    values, known, how = encode(pl.Series("v", ["1.0", "3.0", "", "2.0"]))
    assert how == {"kind": "one-hot", "categories": ["1", "2", "3"], "other": False}
    assert values.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert known.tolist() == [True, True, False, True]


def test_binary_columns_stay_one_column() -> None:
    for column in (
        pl.Series("b", ["0.0", "1.0", None]),
        pl.Series("b", [False, True, None]),
        pl.Series("b", ["false", "true", ""]),
    ):
        values, known, how = encode(column)
        assert (values.ravel().tolist(), how["kind"]) == ([0, 1, 0], "binary")
        assert known.tolist() == [True, True, False]


def test_survey_codes_are_missing_only_where_negative_makes_no_sense() -> None:
    values, known, how = encode(pl.Series("v", [1, 2, -99, 2]))
    assert how["categories"] == ["1", "2"]
    assert known.tolist() == [True, True, False, True]
    assert values[2].tolist() == [0, 0]
    assert encode(pl.Series("v", [-9, -3, 2, 5]))[2]["categories"] == ["-9", "-3", "2", "5"]
    assert encode(pl.Series("v", [-1, 0, 1]))[2]["categories"] == ["-1", "0", "1"]


def test_not_finite_is_missing() -> None:
    values, known, _ = encode(pl.Series("v", [float("nan"), float("inf"), *range(20)]))
    assert np.isfinite(values).all()
    assert known.tolist() == [False, False] + [True] * 20


def test_identifiers_are_text_and_rare_values_share_a_place() -> None:
    first = 7203375632661695749
    ids = pl.Series("m", [first + n for n in range(MOST + 50)] + [first + MOST + 49])
    values, _, how = encode(ids)
    assert values.shape == (MOST + 51, MOST + 1)
    assert how["other"]
    assert str(first + MOST + 49) in how["categories"]
    assert (values.sum(axis=1) == 1).all()
    assert values[:, -1].sum() == 50


def test_a_post_is_present_if_any_column_is_known() -> None:
    frame = pl.DataFrame({"a": [1, None, None], "b": ["x", "y", None]})
    feature = feature_of("visual", frame, ["a", "b"])
    assert feature.present.tolist() == [True, True, False]
    assert feature.manifest.shape == (3,)
    assert feature.manifest.name == "visual-columns"
    assert feature.manifest.options["encoding"]["b"]["categories"] == ["x", "y"]


def test_empty_and_nested_columns_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        feature_of("visual", pl.DataFrame({"a": [1]}), [])
    with pytest.raises(InputError, match="lists"):
        feature_of("visual", pl.DataFrame({"a": [[1]]}), ["a"])


def test_features_follow_the_posts_that_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("post,hashtags,x,y\na,t,1,0\na,t,2,1\nb,t,3,\n")
    report = import_posts(source, tmp_path / "out", features={"visual": ["x"], "acoustic": ["y"]})
    visual = report.dataset.feature("visual-columns")
    assert visual.values.tolist() == [[1, 0], [0, 1]]
    assert report.dataset.feature("acoustic-columns").present.tolist() == [True, False]
