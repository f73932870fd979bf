"""JSON Lines in, raw rows out: one object a line, `.jsonl`, `.ndjson`, plain or gzipped.

Polars reads the file in one go, ids as text so that 19 digits stay 19 digits. Where it refuses
(a broken line, a value of another kind than in the first lines), lines that are no JSON object
become faults; the others go to polars again, and if need be are read one by one.
"""

from __future__ import annotations

import io
import json
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from reeltag.data.importers import files
from reeltag.data.importers.base import RAW_LIMIT, ROW, Fault, Loaded, Wanted, stem_suffix
from reeltag.errors import InputError

_SAMPLE = 1000


class JsonLines:
    """The `jsonl` format."""

    name = "jsonl"

    def accepts(self, source: Path) -> bool:
        """By suffix, or by an opening brace."""
        suffix = stem_suffix(source)
        if suffix in {".jsonl", ".ndjson", ".jsonlines"}:
            return True
        return suffix in {".json", ".txt", ""} and files.first_bytes(source).lstrip()[:1] == b"{"

    def load(self, source: Path, wanted: Wanted) -> Loaded:
        """Read the wanted keys of every line."""
        sample = [value for line in islice(files.lines(source), _SAMPLE) if (value := _try(line))]
        try:
            columns = wanted.resolve(source, _keys(sample))
            frame = _fast(files.readable(source), wanted.columns(columns), sample)
            if frame.height == files.count_lines(source):
                return Loaded(frame.with_row_index(ROW, offset=1), columns, read=frame.height)
        except (pl.exceptions.PolarsError, InputError):
            pass
        return _slow(source, wanted, sample)


def _fast(source: Path | io.BytesIO, keys: list[str], sample: list[dict[str, Any]]) -> pl.DataFrame:
    if not keys:
        raise InputError("nothing to read")
    schema = {key: _kind([value[key] for value in sample if key in value]) for key in keys}
    return pl.read_ndjson(source, schema=schema)


def _kind(values: list[Any]) -> pl.DataType:
    """Lists where there are plain lists; all else (lists of objects, too) is read as text."""
    lists = [value for value in values if isinstance(value, list)]
    if lists and not any(isinstance(item, dict | list) for value in lists for item in value):
        return pl.List(pl.Utf8())
    return pl.Utf8()


def _try(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _slow(source: Path, wanted: Wanted, sample: list[dict[str, Any]]) -> Loaded:
    """Part good lines from bad ones; polars gets the good ones, or they are read one by one."""
    rows: list[int] = []
    good: list[bytes] = []
    faults: list[Fault] = []
    for number, line in enumerate(files.lines(source), start=1):
        if not line.strip():
            continue
        value = _parse(number, line)
        if isinstance(value, Fault):
            faults.append(value)
        else:
            rows.append(number)
            good.append(line)
    if not rows:
        if faults:
            raise faults[0].error(source)
        raise InputError(f"{source} is empty. Expected one JSON object a line.")
    read = len(rows) + len(faults)
    number_of = pl.Series(ROW, rows, dtype=pl.UInt32)
    try:
        columns = wanted.resolve(source, _keys(sample))
        frame = _fast(io.BytesIO(b"\n".join(good)), wanted.columns(columns), sample)
        if frame.height == len(rows):
            return Loaded(frame.insert_column(0, number_of), columns, faults, read)
    except (pl.exceptions.PolarsError, InputError):
        pass
    cells = _cells(good)
    columns = wanted.resolve(source, list(cells))
    frame = pl.DataFrame([number_of, *(cells[key] for key in wanted.columns(columns))])
    return Loaded(frame, columns, faults, read)


def _cells(good: list[bytes]) -> dict[str, pl.Series]:
    """Every key's values as text, lists and objects as JSON text."""
    cells: dict[str, list[str | None]] = {}
    for row, line in enumerate(good):
        value = _parse(row, line)
        assert isinstance(value, dict)
        for key in value:
            if key not in cells:
                cells[key] = [None] * row
        for key, column in cells.items():
            column.append(_text(value.get(key)))
    return {key: pl.Series(key, column, dtype=pl.Utf8) for key, column in cells.items()}


def _keys(sample: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for value in sample for key in value))


def _parse(number: int, line: bytes) -> dict[str, Any] | Fault:
    raw = line.decode("utf-8", "replace")[:RAW_LIMIT]
    try:
        value = json.loads(line.decode("utf-8"), parse_int=str, parse_float=str)
    except UnicodeDecodeError as fault:
        detail = f"the line is not UTF-8 ({fault.reason} at byte {fault.start + 1})"
        return Fault(number, "not UTF-8", raw, detail)
    except (ValueError, RecursionError) as fault:
        return Fault(number, "broken JSON", raw, f"the line is not JSON: {fault}")
    if not isinstance(value, dict):
        detail = f"got a JSON {type(value).__name__}, expected one object {{...}} a line"
        return Fault(number, "no JSON object", raw, detail)
    return value


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode("utf-8")
