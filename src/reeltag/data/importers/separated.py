"""CSV and TSV in, raw rows out: a header, then rows; plain or gzipped, UTF-8 with or without BOM.

Everything is read as text, so ids keep their digits. Line ends inside quotes belong to the cell.
Where polars refuses the file, it is read row by row and the faulty rows become faults. The header
is row 1; a row with line ends inside quotes counts as one row. A short row's absent cells are
empty; a row with more cells than the header is a fault.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import polars as pl

from reeltag.data.importers import files
from reeltag.data.importers.base import RAW_LIMIT, ROW, Fault, Loaded, Wanted, stem_suffix
from reeltag.errors import InputError

_CELL_LIMIT = 1 << 24


class Separated:
    """The `csv` format, tabs included."""

    name = "csv"

    def accepts(self, source: Path) -> bool:
        """By suffix."""
        return stem_suffix(source) in {".csv", ".tsv", ".tab"}

    def load(self, source: Path, wanted: Wanted) -> Loaded:
        """Read the wanted columns of every row."""
        header, separator = _header(source)
        columns = wanted.resolve(source, header)
        needed = wanted.columns(columns)
        try:
            frame = pl.read_csv(
                files.readable(source),
                separator=separator,
                infer_schema=False,
                columns=needed or None,
            )
        except pl.exceptions.PolarsError:
            return _slow(source, separator, header, columns, needed)
        if frame.height == 0:
            raise InputError(f"{source} has a header and no rows. Expected at least one.")
        frame = frame.with_row_index(ROW, offset=2)
        if needed:
            frame = frame.filter(~pl.all_horizontal(pl.col(needed).is_null()))
        return Loaded(frame, columns, read=frame.height)


def _header(source: Path) -> tuple[list[str], str]:
    """Column names, and the separator that gives most of them."""
    first = next(files.lines(source), b"")
    try:
        line = first.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise _not_utf8(1, first).error(source) from fault
    if not line.strip():
        raise InputError(f"{source} is empty. Expected a header line with column names.")
    separator = max(",\t;", key=line.count)
    names = next(csv.reader([line], delimiter=separator))
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"{source} has two columns {twice!r}. Expected different names: rename one."
        )
    return names, separator


def _slow(
    source: Path, separator: str, header: list[str], columns: dict[str, str], needed: list[str]
) -> Loaded:
    text = files.content(source).decode("utf-8", "surrogateescape")
    text = re.sub(r"\r(?!\n)", " ", text)  # csv ends rows there; polars and the sources do not
    before = csv.field_size_limit(_CELL_LIMIT)
    try:
        return _rows(source, text, separator, header, columns, needed)
    finally:
        csv.field_size_limit(before)


def _rows(
    source: Path,
    text: str,
    separator: str,
    header: list[str],
    columns: dict[str, str],
    needed: list[str],
) -> Loaded:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    places = [header.index(name) for name in needed]
    numbers: list[int] = []
    cells: list[list[str | None]] = [[] for _ in needed]
    faults: list[Fault] = []
    number = 0
    while True:
        number += 1
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as fault:
            detail = f"the row is no valid CSV ({fault}); look for a quote that is not closed"
            faults.append(Fault(number, "broken CSV", "", detail))
            continue
        if number == 1 or not row:
            continue
        if fault_of_row := _fault(number, reader.line_num, row, header):
            faults.append(fault_of_row)
            continue
        numbers.append(number)
        for place, column in zip(places, cells, strict=True):
            column.append(row[place] or None if place < len(row) else None)
    if not numbers and faults:
        raise faults[0].error(source)
    schema = {ROW: pl.UInt32(), **dict.fromkeys(needed, pl.Utf8())}
    frame = pl.DataFrame([numbers, *cells], schema=schema)
    return Loaded(frame, columns, faults, read=len(numbers) + len(faults))


def _fault(number: int, line: int, row: list[str], header: list[str]) -> Fault | None:
    raw = ",".join(row)[:RAW_LIMIT].encode("utf-8", "surrogateescape")
    if any(not _is_text(cell) for cell in row):
        return _not_utf8(number, raw, line)
    if len(row) > len(header):
        detail = f"line {line} has {len(row)} cells, expected {len(header)} as in the header"
        return Fault(number, "too many cells", raw.decode("utf-8"), detail)
    return None


def _is_text(cell: str) -> bool:
    return cell.isascii() or not any("\udc80" <= character <= "\udcff" for character in cell)


def _not_utf8(number: int, raw: bytes, line: int | None = None) -> Fault:
    detail = f"line {line or number} is not UTF-8; save the file as UTF-8 (it looks like Latin-1)"
    return Fault(number, "not UTF-8", raw.decode("utf-8", "replace")[:RAW_LIMIT], detail)
