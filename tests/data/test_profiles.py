"""What is known about users as codes: values, bins, unknown, and nothing from outside training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reeltag.data.corpus import Corpus
from reeltag.data.dataset import Dataset
from reeltag.data.profiles import BINS, MOST_VALUES, Field, Fields
from reeltag.data.splits import Split, SplitRecipe
from reeltag.errors import ConfigError, RunError

USERS = pl.DataFrame(
    {
        "user": ["a", "b", "c", "d"],
        "posts": [4, 3, 2, 1],
        "gender": ["f", "m", "f", None],
        "age": [20, 30, None, 40],
        "pro": [True, False, True, True],
    }
)


def names(*values: str | None) -> pl.Series:
    return pl.Series(values, dtype=pl.Utf8)


def numeric(*values: float | None) -> Field:
    (field,) = Fields.fit(pl.DataFrame({"user": map(str, range(len(values))), "n": values})).fields
    return field


def test_values_are_ordered_by_use_and_bins_by_size() -> None:
    fields = Fields.fit(USERS)
    assert [field.name for field in fields.fields] == ["gender", "age", "pro"]  # not the counted
    assert [field.values for field in fields.fields] == [
        ("f", "m"),
        ("below 30", "30-39", "40 and more"),
        ("true", "false"),
    ]
    assert fields.widths == (3, 4, 3)


def test_codes_of_known_unknown_and_nobody() -> None:
    fields = Fields.fit(USERS)
    codes = fields.codes(USERS, names("d", "a", None, "stranger", "b", "a"))
    assert codes.dtype == torch.int64
    assert codes.tolist() == [[0, 3, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0], [2, 2, 2], [1, 1, 1]]


def test_a_value_not_seen_in_training_is_unknown() -> None:
    fields = Fields.fit(USERS.head(1))
    assert fields.codes(USERS, names("a", "b")).tolist() == [[1, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1] * 10, ("below 1", "1 and more")),
        ([0] * 99 + [1], ("below 1", "1 and more")),
        ([0] + [1] * 99, ("below 1", "1 and more")),
        ([7] * 10, ("any",)),
        ([7], ("any",)),
        ([18, 18, 25, 25, 31, 31], ("below 25", "25-30", "31 and more")),
        ([-9, -5, -4, 0], ("below -5", "-5", "-4 to -1", "0 and more")),
        ([0.5, 1.25, 1.5], ("below 1.25", "1.25-1.5", "1.5 and more")),
        ([2**40, 2**40 + 1, 2**40 + 2], ("below 1099511627777", "1099511627777",
                                         "1099511627778 and more")),
        (list(range(60)), ("below 10", "10-19", "20-29", "30-39", "40-49", "50 and more")),
        ([1.0, None, float("nan"), float("inf")], ("any",)),
    ],
)  # fmt: skip
def test_names_of_bins(values: list[float | None], expected: tuple[str, ...]) -> None:
    assert numeric(*values).values == expected


@pytest.mark.parametrize("place", ["low", "middle", "high"])
def test_a_value_that_most_share_has_a_bin_of_its_own(place: str) -> None:
    """Most accounts have no follower: all in one bin would say nothing about the others."""
    rest = {"low": range(1, 31), "middle": [*range(-15, 0), *range(1, 16)], "high": range(-30, 0)}
    field = numeric(*[0] * 200, *rest[place])
    codes = field.codes(pl.Series([0, *rest[place]])).tolist()
    assert codes[0] not in codes[1:]
    assert len(set(codes)) == (3 if place == "middle" else 2)
    assert len(field.values) == len(set(field.values)) <= BINS


def test_bins_hold_about_equally_many() -> None:
    values = np.random.default_rng(0).normal(size=6000)
    counts = np.bincount(numeric(*values).codes(pl.Series(values)).numpy())
    assert counts.tolist() == [0, *[1000] * BINS]


def test_numbers_as_text_and_numbers_that_are_none() -> None:
    field = numeric(10, 20, 30)
    column = names("5", "20.5", "1e3", "x", "", None, "nan", "inf")
    assert field.codes(column).tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    floats = pl.Series([5.0, float("nan"), float("-inf"), None])
    assert field.codes(floats).tolist() == [1, 0, 0, 0]


def test_rare_values_of_many_are_unknown() -> None:
    frame = pl.DataFrame({"user": map(str, range(MOST_VALUES + 1)), "town": "t"})
    frame = frame.with_columns(pl.col("town") + pl.col("user"))
    fields = Fields.fit(pl.concat([frame, frame.tail(MOST_VALUES)]))
    assert fields.widths == (MOST_VALUES + 1,)
    assert fields.codes(frame, names("0", "1")).tolist() == [[0], [1]]


@pytest.mark.parametrize("name", ["count", "value", "users", "literal", "index", "len"])
def test_a_field_may_have_any_name(name: str) -> None:
    users = pl.DataFrame({"user": ["a", "b"], name: ["x", "y"]})
    fields = Fields.fit(users)
    assert fields.codes(users, names("b", "a")).tolist() == [[2], [1]]
    assert fields.of({name: "y"}).tolist() == [2]


def test_fields_nobody_has_are_left_out() -> None:
    users = pl.DataFrame(
        {"user": ["a"], "x": [None], "y": pl.Series([None], dtype=pl.Utf8), "z": [float("nan")]}
    )
    fields = Fields.fit(users)
    assert fields.fields == ()
    assert fields.codes(users, names("a", "b")).shape == (2, 0)
    assert fields.of({}).shape == (0,)


def test_users_of_another_dataset_may_lack_a_field() -> None:
    other = pl.DataFrame({"user": ["z"], "age": ["35"]})
    assert Fields.fit(USERS).codes(other, names("z")).tolist() == [[0, 2, 0]]


def test_a_profile_somebody_gives() -> None:
    fields = Fields.fit(USERS)
    assert fields.of({}).tolist() == [0, 0, 0]
    assert fields.of({"age": " 33", "pro": False}).tolist() == [0, 2, 2]
    assert fields.of({"gender": "f ", "age": None, "pro": "true"}).tolist() == [1, 0, 1]
    assert fields.of({"gender": "d"}).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"sex": "f"}, "Got 'sex' about a user, expected one of: gender, age, pro"),
        ({"age": "old"}, "Got age='old' about a user, expected a number"),
        ({"age": float("nan")}, "expected a number"),
        ({"age": 10**400}, "expected a number"),
        ({"gender": ["f"]}, "expected text or a number"),
    ],
)
def test_a_profile_that_cannot_be(profile: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Fields.fit(USERS).of(profile)


def test_a_profile_where_nothing_is_known() -> None:
    with pytest.raises(ConfigError, match="no field of the users was known in training"):
        Fields().of({"age": 3})


def test_stored_and_read_back() -> None:
    fields = Fields.fit(USERS)
    assert Fields.from_list(fields.as_list()) == fields
    assert Fields.from_list([]) == Fields()


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "odd"},
        {"values": ["x"]},
        {"edges": [40.0, 30.0]},
        {"edges": ["x", "y"]},
        {"edges": None},
        {"name": ...},
    ],
)
def test_damage_is_named(damage: dict[str, Any]) -> None:
    stored = Fields.fit(USERS).as_list()[1] | damage
    stored = {key: value for key, value in stored.items() if value is not ...}
    with pytest.raises(RunError, match="fields of users are damaged"):
        Fields.from_list([stored])


anything = st.one_of(
    st.none(), st.text(max_size=3), st.integers(-(2**62), 2**62).map(str), st.floats().map(str)
)


@given(
    st.lists(st.one_of(st.none(), st.floats(), st.integers(-3, 3).map(float)), max_size=40),
    st.lists(anything, max_size=40),
    st.lists(st.one_of(anything, st.floats()), min_size=1, max_size=20),
)
def test_every_code_is_one_of_the_width(
    numbers: list[float | None], texts: list[str | None], asked: list[Any]
) -> None:
    rows = max(len(numbers), len(texts))
    users = pl.DataFrame(
        {
            "user": [str(n) for n in range(rows)],
            "number": pl.Series(numbers, dtype=pl.Float64).extend_constant(
                None, rows - len(numbers)
            ),
            "text": pl.Series(texts, dtype=pl.Utf8).extend_constant(None, rows - len(texts)),
        },
        schema_overrides={"user": pl.Utf8},
    )
    fields = Fields.fit(users)
    assert Fields.from_list(fields.as_list()) == fields
    codes = fields.codes(users, pl.concat([users["user"], names(None, "x")]))
    strange = pl.Series(asked, dtype=pl.Utf8, strict=False)
    for place, field in enumerate(fields.fields):
        both = torch.cat([codes[:, place], field.codes(strange)])
        assert ((both >= 0) & (both < field.width)).all()
        known = users[field.name].is_not_null()
        if field.kind == "numeric":
            known &= users[field.name].is_finite().fill_null(False)
            assert len(field.values) <= BINS
        assert ((codes[:rows, place] > 0).numpy() == known.to_numpy()).all()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Users t0-t3 train; v and w post in validation and test alone, with values of their own."""
    users = ["t0", "t1", "t2", "t3", "v", "w", None]
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(7)],
            "user": users,
            "hashtags": [["x"]] * 7,
        }
    )
    known = pl.DataFrame(
        {
            "user": users[:6],
            "country": ["it", "it", "de", None, "secret", "it"],
            "age": [20, 30, 40, 50, 9999, None],
            "only": [None, None, None, None, "leak", None],
        }
    )
    dataset = Dataset.create(
        tmp_path_factory.mktemp("planted") / "d", posts, source={}, users=known
    )
    parts = pl.Series(["train"] * 4 + ["validation", "test", "test"])
    return Corpus(dataset, Split("main", SplitRecipe(), parts))


def test_fields_come_from_training_users_alone(planted: Corpus) -> None:
    country, age = planted.fields.fields  # and none called "only"
    assert country.values == ("it", "de")
    assert "9999" not in " ".join(age.values)
    assert max(age.edges) == 50


def test_posts_and_batches_carry_codes(planted: Corpus) -> None:
    training = planted.training
    assert training.fields is planted.fields
    assert training.posts.fields.tolist() == [[1, 1], [1, 2], [2, 3], [0, 4]]
    assert planted.part("validation").fields.tolist() == [[0, 4]]
    assert planted.part("test").fields.tolist() == [[1, 0], [0, 0]]
    index = torch.tensor([2, 0])
    assert training.posts.select(index).to("cpu").fields.tolist() == [[2, 3], [1, 1]]
    assert training.batch(index).to("cpu").fields.tolist() == [[2, 3], [1, 1]]
    test = planted.part("test")
    assert planted.batch(test, torch.tensor([1, 0])).fields.tolist() == [[0, 0], [1, 0]]


def test_a_corpus_may_take_the_fields_of_a_run(planted: Corpus) -> None:
    fields = Fields((Field("country", "categorical", ("secret",)),))
    again = Corpus(planted.dataset, planted.split, fields=fields)
    assert again.part("validation").fields.tolist() == [[1]]
    assert again.training.posts.fields.sum() == 0


def test_without_fields_there_are_no_codes(dataset: Dataset, corpus: Corpus) -> None:
    assert corpus.fields == Fields()
    assert corpus.training.posts.fields.shape == (len(corpus.training.posts), 0)


def test_posts_of_nobody_have_no_fields(tmp_path: Path) -> None:
    posts = pl.DataFrame({"post": ["1"], "user": [None], "hashtags": [["x"]]})
    known = pl.DataFrame({"user": ["a"], "age": [3]})
    made = Dataset.create(tmp_path / "d", posts, source={}, users=known)
    parts = pl.Series(["train"])
    assert Corpus(made, Split("main", SplitRecipe(), parts)).fields == Fields()
