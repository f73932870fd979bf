"""What sources say about users: from the posts' columns, from a table, and from both."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reeltag.data.importers import import_posts
from reeltag.data.importers.base import ROW, Loaded, Wanted
from reeltag.data.importers.users import column_of, known_users
from reeltag.errors import InputError, RowError

Write = Callable[..., Path]
POSTS = [
    {"post": "1", "user": "ann", "tags": "a", "sex": "f", "born": 1990, "pro": True, "h": 1.7},
    {"post": "2", "user": "ben", "tags": "a", "sex": None, "born": 1980, "pro": None, "h": None},
    {"post": "3", "user": "ann", "tags": "b", "sex": "m", "born": None, "pro": True, "h": None},
    {"post": "4", "user": None, "tags": "b", "sex": "m", "born": 2000, "pro": True, "h": 1.0},
    {"post": "5", "user": "ann", "tags": "b", "sex": "f", "born": 1990, "pro": False, "h": 1.7},
    {"post": "6", "user": "cleo", "tags": "b", "sex": " ", "born": None, "pro": False, "h": None},
]
FIELDS = {"gender": "sex", "born": "born", "verified": "pro", "height": "h"}
USERS = [
    {"username": "cleo", "gender": "f", "age": 23, "city": "Nice"},
    {"username": "ann", "gender": None, "age": None, "city": "Rome"},
    {"username": "dora", "gender": "f", "age": 40, "city": "Bonn"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    frame = pl.DataFrame(rows)
    kinds = {".jsonl": frame.write_ndjson, ".csv": frame.write_csv, ".parquet": frame.write_parquet}
    inner = path.with_suffix("") if path.suffix == ".gz" else path
    kinds[inner.suffix](inner)
    if path != inner:
        path.write_bytes(gzip.compress(inner.read_bytes()))
    return path


def fields(users: pl.DataFrame) -> dict[str, dict[str, Any]]:
    rows = users.drop("posts", "first", "last").to_dicts()
    return {row.pop("user"): row for row in rows}


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_columns_of_every_table_become_fields(tmp_path: Path, suffix: str, packed: str) -> None:
    source = write(tmp_path / f"posts.{suffix}{packed}", POSTS)
    report = import_posts(source, tmp_path / "out", user_fields=FIELDS)
    users = report.dataset.users
    assert users.columns == ["user", "posts", "first", "last", *FIELDS]
    assert fields(users) == {
        "ann": {"gender": "f", "born": 1990, "verified": "true", "height": 1.7},
        "ben": {"gender": None, "born": 1980, "verified": None, "height": None},
        "cleo": {"gender": None, "born": None, "verified": "false", "height": None},
    }
    assert users.schema["born"] == pl.Int64
    assert users.schema["height"] == pl.Float64
    assert [note for note in report.warnings if "more than one" in note] == [
        "1 of 1 users have more than one gender; the most common of each was taken",
        "1 of 2 users have more than one verified; the most common of each was taken",
    ]
    assert report.dataset.description["source"]["users"]["columns"] == FIELDS


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_table_of_users(tmp_path: Path, suffix: str, packed: str) -> None:
    source = write(tmp_path / "posts.jsonl", POSTS)
    table = write(tmp_path / f"users.{suffix}{packed}", USERS)
    report = import_posts(source, tmp_path / "out", users=table)
    assert fields(report.dataset.users) == {
        "ann": {"gender": None, "age": None, "city": "Rome"},
        "ben": {"gender": None, "age": None, "city": None},
        "cleo": {"gender": "f", "age": 23, "city": "Nice"},
    }
    assert f"1 of 3 users in {table} have no post; left out" in report.warnings


def test_the_table_counts_where_both_know(tmp_path: Path) -> None:
    source = write(tmp_path / "posts.jsonl", POSTS)
    rows = [
        {"user": "ann", "gender": "x", "born": "1991.5", "height": "tall"},
        {"user": "ben", "gender": "m", "born": None, "height": None},
    ]
    table = write(tmp_path / "users.csv", rows)
    users = import_posts(source, tmp_path / "out", user_fields=FIELDS, users=table).dataset.users
    assert fields(users) == {
        "ann": {"gender": "x", "born": 1991.5, "verified": "true", "height": "tall"},
        "ben": {"gender": "m", "born": 1980.0, "verified": None, "height": None},
        "cleo": {"gender": None, "born": None, "verified": "false", "height": None},
    }
    assert users.schema["height"] == pl.Utf8  # one source has text, so all of it is


def test_the_column_of_users_may_be_mapped(tmp_path: Path) -> None:
    rows = [{"who": row["user"], "user": 1, "tags": row["tags"]} for row in POSTS]
    source = write(tmp_path / "posts.jsonl", rows)
    table = write(tmp_path / "users.csv", [{"who": "ann", "age": 3}])
    report = import_posts(source, tmp_path / "out", mapping={"user": "who"}, users=table)
    assert fields(report.dataset.users)["ann"] == {"age": 3}


def test_ids_of_users_that_are_numbers_meet(tmp_path: Path) -> None:
    source = write(tmp_path / "posts.parquet", [{"user": 7.0, "tags": "a"}])
    table = write(tmp_path / "users.csv", [{"user": " 7 ", "age": 3}])
    report = import_posts(source, tmp_path / "out", users=table)
    assert fields(report.dataset.users) == {"7": {"age": 3}}


def test_rows_that_are_no_posts_say_nothing(tmp_path: Path, jsonl: Write) -> None:
    source = jsonl(
        {"post": "1", "user": "ann", "tags": "a", "age": "1"},
        {"post": "1", "user": "ann", "tags": "a", "age": "2"},
        {"post": "1", "user": "ann", "tags": "a", "age": "2"},
    )
    report = import_posts(source, tmp_path / "out", user_fields={"age": "age"})
    assert fields(report.dataset.users) == {"ann": {"age": 1}}


def test_rows_of_nobody_are_counted(tmp_path: Path) -> None:
    source = write(tmp_path / "posts.jsonl", POSTS)
    table = write(tmp_path / "users.parquet", [{"user": None, "age": 3}, {"user": "ann", "age": 4}])
    report = import_posts(source, tmp_path / "out", users=table)
    assert f"1 rows of {table} name no user; they were left out" in report.warnings
    assert fields(report.dataset.users)["ann"] == {"age": 4}


def test_a_user_twice_in_the_table_names_the_row(tmp_path: Path) -> None:
    source = write(tmp_path / "posts.jsonl", POSTS)
    table = write(tmp_path / "users.csv", [{"user": "ann", "age": 3}, {"user": "ann", "age": 3}])
    with pytest.raises(RowError, match="row 3, column 'user': user 'ann' stands there a second"):
        import_posts(source, tmp_path / "out", users=table)
    assert not (tmp_path / "out").exists()


def test_a_broken_row_of_the_table_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "posts.jsonl", POSTS)
    table = tmp_path / "users.jsonl"
    table.write_text('{"user": "ann", "age": 3}\n{"user": "ben"\n')
    with pytest.raises(RowError, match=r"users.jsonl, row 2: .*not JSON"):
        import_posts(source, tmp_path / "out", users=table)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([{"name": "ann", "age": 3}], "no column that names the user. It has: name, age"),
        ([{"user": "ann"}], "says nothing about its users"),
        ([{"user": "ann", "posts": 3}], "has a column 'posts', which cannot be a field"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, table: list[dict[str, Any]], message: str
) -> None:
    source = write(tmp_path / "posts.jsonl", POSTS)
    with pytest.raises(InputError, match=message):
        import_posts(source, tmp_path / "out", users=write(tmp_path / "users.jsonl", table))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"age": "sexx"}, "no column 'sexx' \\(wanted for the users' age\\).*mean 'sex'"),
        ({"first": "sex"}, "Got a user field 'first', which cannot be a field"),
        ({" ": "sex"}, "Got a user field ' '"),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_fields_that_cannot_be(
    tmp_path: Path, asked: dict[str, str], message: str, suffix: str
) -> None:
    source = write(tmp_path / f"posts.{suffix}", POSTS)
    with pytest.raises(InputError, match=message):
        import_posts(source, tmp_path / "out", user_fields=asked)


@pytest.mark.parametrize("value", [["a"], {"a": 1}, [{"a": 1}]])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_lists_and_objects_are_refused(tmp_path: Path, suffix: str, value: Any) -> None:
    rows = [{"user": "a", "tags": "x", "odd": None}, {"user": "a", "tags": "x", "odd": value}]
    source = write(tmp_path / f"posts.{suffix}", rows)
    with pytest.raises(RowError, match=r"row 2, column 'odd': got .*a list or an object"):
        import_posts(source, tmp_path / "out", user_fields={"odd": "odd"})


def test_json_too_deep_to_read_is_refused() -> None:
    deep = pl.Series("x", ["[" * 100_000 + "]" * 100_000])
    with pytest.raises(RowError, match="row 7"):
        column_of(Path("s"), deep, pl.Series([7]))


def test_brackets_alone_are_text() -> None:
    values = pl.Series("x", ["[unknown]", "{?}"])
    assert column_of(Path("s"), values, pl.Series([1, 2])).to_list() == ["[unknown]", "{?}"]


@pytest.mark.parametrize(
    ("values", "expected", "kind"),
    [
        (["1", " 2", None, ""], [1, 2, None, None], pl.Int64),
        (["1", "2.5"], [1.0, 2.5], pl.Float64),
        (["1", "nan"], ["1", "nan"], pl.Utf8),
        (["1", "1e999"], ["1", "1e999"], pl.Utf8),
        (["1", "18-24"], ["1", "18-24"], pl.Utf8),
        ([None, " "], [None, None], pl.Utf8),
        ([None, None], [None, None], pl.Utf8),
        (["99999999999999999999"], [1e20], pl.Float64),
        ([1.0, float("nan"), float("inf"), None], [1.0, None, None, None], pl.Float64),
        ([True, None, False], ["true", None, "false"], pl.Utf8),
    ],
)
def test_kinds_of_fields(values: list[Any], expected: list[Any], kind: pl.DataType) -> None:
    got = column_of(Path("s"), pl.Series("x", values), pl.Series(range(len(values))))
    assert got.dtype == kind
    assert got.to_list() == expected


def test_numbers_beyond_our_own_stay_numbers() -> None:
    big = pl.Series("x", [2**64 - 1, None], dtype=pl.UInt64)
    assert column_of(Path("s"), big, pl.Series([1, 2])).dtype == pl.Float64
    names = pl.Series("x", ["a", None, "b"], dtype=pl.Categorical)
    assert column_of(Path("s"), names, pl.Series([1, 2, 3])).to_list() == ["a", None, "b"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", "z", None])),
        min_size=1,
        max_size=30,
    ).filter(lambda rows: any(user for user, _ in rows))
)
def test_the_most_common_value_wins_and_the_first_of_equals(
    rows: list[tuple[str | None, str | None]],
) -> None:
    frame = pl.DataFrame(rows, schema={"user": pl.Utf8, "v": pl.Utf8}, orient="row")
    frame = frame.with_row_index(ROW)
    wanted = Wanted({}, user_fields={"f": "v"})
    known, _ = known_users(Path("s"), Loaded(frame, {}), frame, wanted, None)
    assert known is not None
    expected = {}
    for user in {user for user, _ in rows if user}:
        counted = Counter(value for owner, value in rows if owner == user and value)
        # Counter keeps the order in which values came, and max the first of equals.
        expected[user] = max(counted, key=lambda value: counted[value]) if counted else None
    assert dict(known.iter_rows()) == expected


def test_a_column_without_values_has_no_say_in_the_kind(tmp_path: Path) -> None:
    rows = [{"user": "a", "tags": "x", "age": None, "size": "3"}]
    source = write(tmp_path / "posts.csv", rows)
    table = write(tmp_path / "users.csv", [{"user": "a", "age": 3, "size": None}])
    asked = {"age": "age", "size": "size"}
    users = import_posts(source, tmp_path / "out", user_fields=asked, users=table).dataset.users
    assert fields(users) == {"a": {"age": 3, "size": 3}}


@pytest.mark.parametrize("name", ["different", "value", "rows", "at", "caption", "post"])
def test_a_field_may_have_any_other_name(tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "posts.jsonl", POSTS)
    table = write(tmp_path / "users.csv", [{"user": "ben", name: "x"}])
    report = import_posts(source, tmp_path / "out", user_fields={name: "sex"}, users=table)
    assert dict(report.dataset.users.select("user", name).iter_rows()) == {
        "ann": "f", "ben": "x", "cleo": None,
    }  # fmt: skip


def test_fields_need_users(tmp_path: Path, jsonl: Write) -> None:
    source = jsonl({"post": "1", "tags": "a", "age": 3})
    with pytest.raises(InputError, match="--map user=COLUMN"):
        import_posts(source, tmp_path / "out", user_fields={"age": "age"})
    with pytest.raises(InputError, match="is no file"):
        import_posts(source, tmp_path / "out", users=tmp_path / "none.csv")
