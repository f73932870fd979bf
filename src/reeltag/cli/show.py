"""How commands print: one JSON object on stdout, or tables for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, soft_wrap=False)


def print_json(value: Mapping[str, Any]) -> None:
    """Print exactly one JSON object on stdout; not-a-number becomes null."""
    print(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], note: str = ""
) -> None:
    """Print a table; numbers are set right, fractions with four digits."""
    cells = [list(row) for row in rows]
    console.print(title, style="bold", markup=False)
    table = Table()
    for number, name in enumerate(columns):
        right = all(isinstance(row[number], int | float) for row in cells) and bool(cells)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in cells:
        table.add_row(*(_cell(value) for value in row))
    if cells:
        console.print(table)
    if note:
        console.print(note, style="dim", markup=False)
    console.print()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
