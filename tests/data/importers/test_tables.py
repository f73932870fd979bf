"""JSON Lines, CSV and Parquet: one contract for all three, then each one's own traps."""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reeltag.data import dataset as dataset_module
from reeltag.data.dataset import Dataset
from reeltag.data.importers import import_posts
from reeltag.errors import DatasetError, InputError, ReelTagError, RowError

Write = Callable[..., Path]
ROWS = [
    {"post": 7203375632661695749, "user": "ann", "caption": "a dog #Dog #cat", "time": 1676561788},
    {"post": 7203375632661695750, "user": "ben", "caption": "no tags", "time": 1676561789},
    {"post": 7203375632661695751, "user": None, "caption": "#Straße#dog!", "time": None},
]


def _write(path: Path) -> Path:
    frame = pl.DataFrame(ROWS)
    inner = path.with_suffix("") if path.suffix == ".gz" else path
    if inner.suffix == ".jsonl":
        frame.write_ndjson(inner)
    elif inner.suffix == ".parquet":
        frame.write_parquet(inner)
    else:
        frame.write_csv(inner, separator="\t" if inner.suffix == ".tsv" else ",")
    if path != inner:
        path.write_bytes(gzip.compress(inner.read_bytes()))
        inner.unlink()
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_table_gives_the_same_posts(tmp_path: Path, suffix: str, packed: str) -> None:
    source = _write(tmp_path / f"posts.{suffix}{packed}")
    report = import_posts(source, tmp_path / "out")
    assert (report.read, report.kept, report.rejected) == (3, 3, {})
    assert report.warnings == ["2 of 3 captions contained hashtags; they were removed"]
    posts = Dataset.open(tmp_path / "out").posts
    assert posts["post"].to_list() == [str(row["post"]) for row in ROWS]
    assert posts["user"].to_list() == ["ann", "ben", None]
    assert posts["caption"].to_list() == ["a dog", "no tags", "!"]
    assert posts["hashtags"].to_list() == [["dog", "cat"], [], ["strasse", "dog"]]
    assert posts["time"][0] == datetime(2023, 2, 16, 15, 36, 28)
    assert report.dataset.counts["posts_without_user"] == 1


def test_mapping_parts_and_context(jsonl: Write, tmp_path: Path) -> None:
    rows = [
        {
            "i": "a",
            "who": 5,
            "tags": ["#X", "x", "", "Y"],
            "t": "hi #x",
            "s": s,
            "w": "Rome",
            "m": 1.0,
        }
        for s in ("Train", "valid", "dev", "test")
    ]
    for number, row in enumerate(rows):
        row["i"] = f"p{number}"
    mapping = {"post": "i", "user": "who", "hashtags": "tags", "caption": "t", "split": "s"}
    mapping |= {"place": "w", "music": "m"}
    posts = import_posts(jsonl(*rows), tmp_path / "out", mapping=mapping).dataset.posts
    assert posts["part"].to_list() == ["train", "validation", "validation", "test"]
    assert posts["hashtags"].to_list() == [["x", "y"]] * 4
    assert posts["caption"].to_list() == ["hi"] * 4
    assert posts["user"].to_list() == ["5"] * 4
    assert posts["place"][0] == "Rome"


def test_without_a_post_column_the_row_number_is_the_id(jsonl: Write, tmp_path: Path) -> None:
    posts = import_posts(jsonl({"text": "#a"}, {"text": "#b"}), tmp_path / "out").dataset.posts
    assert posts["post"].to_list() == ["1", "2"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["['a', 'b']", "[]", "['c']"], [["a", "b"], [], ["c"]]),
        (['["a", "b\\u00e9"]', "['it\\'s', 'b']"], [["a", "bé"], ["it's", "b"]]),
        (["[五爱市场,搞笑]", "[官方]"], [["五爱市场", "搞笑"], ["官方"]]),
        (["#a #b", "#c#d", "e"], [["a", "b"], ["c", "d"], ["e"]]),
        (["new york,rome", "b"], [["newyork", "rome"], ["b"]]),
        (["a; b", "c"], [["a", "b"], ["c"]]),
        (["a|b", None, ""], [["a", "b"], [], []]),
        (['[{"name": "Dog"}, {"hashtagName": "Cat"}]'], [["dog", "cat"]]),
        (["[" * 5000 + "]" * 5000], None),
        (["__import__('os').system('x')"], None),
    ],
)
def test_hashtag_columns_in_every_spelling(
    tmp_path: Path, values: list[str | None], expected: list[list[str]] | None
) -> None:
    source = tmp_path / "a.parquet"
    pl.DataFrame({"hashtags": values, "user": "u"}).write_parquet(source)
    posts = import_posts(source, tmp_path / "out").dataset.posts
    if expected is not None:
        assert posts["hashtags"].to_list() == expected


@pytest.mark.parametrize(
    "value",
    [
        "2023-02-16 15:36:28",
        "2023-02-16T15:36:28Z",
        "2023-02-16T16:36:28+01:00",
        "2023-02-16T15:36:28.000+0000",
        "2023/02/16 15:36:28",
        "Thu Feb 16 15:36:28 +0000 2023",
        "1676561788",
        "1676561788000",
        "1676561788.0",
        1676561788,
        1676561788000,
        datetime(2023, 2, 16, 15, 36, 28),
        datetime(2023, 2, 16, 15, 36, 28, tzinfo=UTC),
    ],
)
def test_times_in_every_spelling(tmp_path: Path, value: Any) -> None:
    source = tmp_path / "a.parquet"
    pl.DataFrame({"hashtags": ["a"], "time": [value]}).write_parquet(source)
    posts = import_posts(source, tmp_path / "out").dataset.posts
    assert posts["time"].to_list() == [datetime(2023, 2, 16, 15, 36, 28)]


def test_days_and_minutes(tmp_path: Path, jsonl: Write) -> None:
    values = ["2023-02-16", "20230216", "2023-02-16 07:05", "2023-02-16T07:05+07:05"]
    source = jsonl(*({"hashtags": "a", "time": value} for value in values))
    posts = import_posts(source, tmp_path / "out").dataset.posts
    hours = [(time.day, time.hour, time.minute) for time in posts["time"]]
    assert hours == [(16, 0, 0), (16, 0, 0), (16, 7, 5), (16, 0, 0)]


@pytest.mark.parametrize(
    ("line", "reason", "column"),
    [
        ('{"post": "x", ', "broken JSON", None),
        ("[1, 2]", "no JSON object", None),
        ("[" * 100_000, "broken JSON", None),
        ('{"post": "x", "hashtags": ["a"], "time": "soon"}', "unreadable time", "time"),
        ('{"post": "x", "hashtags": ["a"], "split": "later"}', "unknown split value", "split"),
        ('{"post": "", "hashtags": ["a"]}', "no post id", "post"),
    ],
)
def test_a_bad_line_is_one_error_or_one_reject(
    jsonl: Write, tmp_path: Path, line: str, reason: str, column: str | None
) -> None:
    good = {"post": "a", "hashtags": ["t"], "time": "2023-01-01", "split": "train"}
    source = jsonl(good, "", line, {**good, "post": "b"})
    with pytest.raises(RowError, match="--rejects") as caught:
        import_posts(source, tmp_path / "out")
    assert (caught.value.row, caught.value.column) == (3, column)
    assert not (tmp_path / "out").exists()
    rejects = tmp_path / "rejects.jsonl"
    report = import_posts(source, tmp_path / "out", rejects=rejects)
    assert (report.read, report.kept, report.rejected) == (3, 2, {reason: 1})
    (entry,) = (json.loads(text) for text in rejects.read_text().splitlines())
    assert entry["row"] == 3
    assert entry["reason"].startswith(reason)
    assert entry["raw"]


def test_repeated_ids_keep_the_first(jsonl: Write, tmp_path: Path) -> None:
    source = jsonl(*({"post": p, "hashtags": t} for p, t in ("ax", "bx", "ay", "az")))
    report = import_posts(source, tmp_path / "out")
    assert (report.kept, report.rejected) == (2, {"post id stands twice": 2})
    assert report.dataset.posts["hashtags"].to_list() == [["x"], ["x"]]
    import_posts(source, tmp_path / "out2", rejects=tmp_path / "r")
    rows = [json.loads(line)["row"] for line in (tmp_path / "r").read_text().splitlines()]
    assert rows == [3, 4]


def test_mixed_kinds_in_one_key_are_read_line_by_line(jsonl: Write, tmp_path: Path) -> None:
    source = jsonl(
        {"post": 7203375632661695749, "hashtags": ["a"], "user": 1},
        {"post": "b", "hashtags": "#b #c", "user": {"id": 3}},
    )
    posts = import_posts(source, tmp_path / "out").dataset.posts
    assert posts["post"].to_list() == ["7203375632661695749", "b"]
    assert posts["hashtags"].to_list() == [["a"], ["b", "c"]]


def test_lists_of_objects_give_their_names(jsonl: Write, tmp_path: Path) -> None:
    rows = [{"post": p, "tags": [{"id": 1, "title": "Dog"}, {"title": p}]} for p in "ab"]
    posts = import_posts(jsonl(*rows), tmp_path / "out").dataset.posts
    assert posts["hashtags"].to_list() == [["dog", "a"], ["dog", "b"]]
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    again = import_posts(tmp_path / "a.parquet", tmp_path / "out2").dataset.posts
    assert again["hashtags"].to_list() == posts["hashtags"].to_list()


def test_csv_quotes_returns_and_byte_order_mark(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    text = 'post,caption\n1,"two\nlines #a"\n2,bare\rreturn #b\n3,"say ""hi"" #c"\n'
    source.write_bytes(b"\xef\xbb\xbf" + text.encode())
    posts = import_posts(source, tmp_path / "out").dataset.posts
    assert posts["post"].to_list() == ["1", "2", "3"]
    assert posts["hashtags"].to_list() == [["a"], ["b"], ["c"]]
    assert posts["caption"].to_list() == ["two lines", "bare return", 'say "hi"']


@pytest.mark.parametrize(
    ("body", "row", "reason"),
    [
        (b"1,x,#a\n2,caf\xe9,#b\n3,y,#c\n", 3, "not UTF-8"),
        (b"1,x,#a\n2,x,#b,more\n3,y,#c\n", 3, "too many cells"),
    ],
)
def test_bad_csv_rows(tmp_path: Path, body: bytes, row: int, reason: str) -> None:
    source = tmp_path / "a.csv"
    source.write_bytes(b"post,caption,hashtags\n" + body)
    with pytest.raises(RowError, match=rf"a.csv, row {row}: line {row} ") as caught:
        import_posts(source, tmp_path / "out")
    assert caught.value.row == row
    report = import_posts(source, tmp_path / "out", rejects=tmp_path / "r")
    assert (report.kept, report.rejected) == (2, {reason: 1})


def test_an_open_quote_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text('post,hashtags\n1,a\n2,"b\n3,c\n')
    with pytest.raises(RowError, match="quote"):
        import_posts(source, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.csv.gz"])
@pytest.mark.parametrize("content", [b"", b"\n", b"\x00\x01\x02\xff", b"\x1f\x8b\x08broken"])
def test_empty_and_foreign_files_are_one_clear_error(
    tmp_path: Path, name: str, content: bytes
) -> None:
    source = tmp_path / name
    source.write_bytes(content)
    with pytest.raises(InputError, match=name):
        import_posts(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_missing_column_is_named_with_a_guess(tmp_path: Path, name: str) -> None:
    source = _write(tmp_path / name)
    with pytest.raises(InputError, match=r"no column 'usr'.*It has: .*caption.*mean 'user'"):
        import_posts(source, tmp_path / "out", mapping={"user": "usr"})
    with pytest.raises(InputError, match="wanted for the visual feature"):
        import_posts(source, tmp_path / "out", features={"visual": ["colour"]})


def test_wrong_arguments(tmp_path: Path, jsonl: Write) -> None:
    source = jsonl({"user": "a"}, name="a.jsonl")
    for arguments, message in [
        ({"mapping": {"tag": "x"}}, "expected one of post"),
        ({"features": {"smell": ["x"]}}, "visual"),
        ({"format": "xml"}, "jsonl"),
        ({"format": "folder"}, "a file"),
        ({"rejects": source}, "source itself"),
        ({}, "no hashtags and no caption"),
    ]:
        with pytest.raises(InputError, match=message):
            import_posts(source, tmp_path / "out", **arguments)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not exist"):
        import_posts(tmp_path / "none.csv", tmp_path / "out")
    with pytest.raises(InputError, match="no known format"):
        import_posts(jsonl("x y z", name="a.txt"), tmp_path / "out")


def test_an_existing_dataset_is_only_replaced_when_asked(jsonl: Write, tmp_path: Path) -> None:
    source = jsonl({"caption": "#a"})
    import_posts(source, tmp_path / "out")
    with pytest.raises(InputError, match="--replace"):
        import_posts(source, tmp_path / "out")
    import_posts(jsonl({"caption": "#b"}), tmp_path / "out", replace=True)
    assert Dataset.open(tmp_path / "out").posts["hashtags"].to_list() == [["b"]]
    (tmp_path / "mine").mkdir()
    with pytest.raises(DatasetError):
        import_posts(source, tmp_path / "mine", replace=True)


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["write_parquet", "write_toml"])
def test_nothing_stays_behind_a_failed_write(
    jsonl: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    where: str,
) -> None:
    source = jsonl({"caption": "#a"}, {"caption": "#b"})

    def fail(*_: Any, **__: Any) -> None:
        raise fault

    owner = pl.DataFrame if where == "write_parquet" else dataset_module
    monkeypatch.setattr(owner, where, fail)
    with pytest.raises(type(fault)):
        import_posts(source, tmp_path / "out", rejects=tmp_path / "rejects")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_errors_are_inputs_errors_for_the_command_line() -> None:
    assert issubclass(RowError, ReelTagError)
    assert RowError("a", 1, None, "x").exit_code == 2
