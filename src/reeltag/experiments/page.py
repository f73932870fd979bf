"""Sections (words, tables, pictures) in; one self-contained HTML page or a Markdown text out.

The page needs nothing but itself: style inside, pictures as data, no scripts, no addresses.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from html import escape

from reeltag.experiments.plots import Plot
from reeltag.experiments.tables import Cell, Row, Table

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #1f2328; --soft: #5d636b;
  --line: #e2dfd8; --best: #0b6e4f; --stripe: #f5f3ef; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171b; --card: #1c1f24; --ink: #e6e8eb;
  --soft: #a0a7b1; --line: #333941; --best: #4cc38a; --stripe: #21252b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
p { margin: .4rem 0; }
.lead { font-size: 1.05rem; max-width: 46rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .7rem;
  padding: 1rem 1.1rem; margin: 1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .34rem .9rem .34rem .4rem; text-align: right; white-space: nowrap;
  vertical-align: top; border-bottom: 1px solid var(--line); }
td { position: relative; }
th { color: var(--soft); font-weight: 600; }
th:first-child { text-align: left; position: sticky; left: 0; z-index: 1;
  background: var(--card); }
tbody th { color: var(--ink); }
td.words { text-align: left; white-space: normal; min-width: 10rem; }
tbody tr:hover > * { background: var(--stripe); }
.best { font-weight: 700; color: var(--best); }
.deviation { display: block; color: var(--soft); font-size: .82em; font-weight: 400; }
.mark { position: absolute; right: .15rem; color: var(--soft); }
tr.paper > * { color: var(--soft); font-style: italic; font-weight: 400; font-size: .86em;
  padding-top: .12rem; padding-bottom: .12rem; }
tr.paper > th { padding-left: 1.4rem; }
.note { color: var(--soft); font-size: .85rem; max-width: 56rem; }
figure { margin: 0; } img { max-width: 100%; height: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .88rem;
  margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .92em; }
@media (max-width: 40rem) { section { padding: .8rem .7rem; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .5rem; } }
@media print { :root { --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb;
  --best: #000; } body { font-size: 10pt; } main { max-width: none; padding: 0; }
  section { break-inside: avoid; border: 0; padding: 0; } .scroll { overflow: visible; }
  table { font-size: 7.5pt; } th, td { padding: 2pt 3pt; } th:first-child { position: static; } }
"""


@dataclass(frozen=True)
class Page:
    """What a report says, in order."""

    title: str
    lead: tuple[str, ...]
    parts: tuple[Table | Plot, ...]
    facts: tuple[tuple[str, str], ...] = field(default=())
    """How the report was made: name and value."""


def html(page: Page) -> str:
    """The page as one HTML file that can be mailed."""
    lead = "".join(f'<p class="lead">{escape(text)}</p>\n' for text in page.lead)
    parts = "\n".join(
        _html_table(part) if isinstance(part, Table) else _html_plot(part) for part in page.parts
    )
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{_code(name, value)}</dd>\n" for name, value in page.facts
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(page.title)}</h1>\n{lead}{parts}\n"
        f"<section>\n<h2>How this was made</h2>\n<dl>\n{facts}</dl>\n</section>\n"
        "</main>\n</body>\n</html>\n"
    )


def markdown(page: Page, pictures: str = "") -> str:
    """The same as Markdown; pictures are linked as `<pictures><name>.png`."""
    lines = [f"# {page.title}", ""]
    for text in page.lead:
        lines += [text, ""]
    for part in page.parts:
        lines += _markdown_table(part) if isinstance(part, Table) else _image(part, pictures)
    lines += ["## How this was made", ""]
    lines += [f"* {name}: {_tick(name, value)}" for name, value in page.facts]
    return "\n".join([*lines, ""])


def _html_table(table: Table) -> str:
    head = "".join(
        f"<th{_class(table, number)}>{escape(column)}</th>"
        for number, column in enumerate(table.columns)
    )
    body = "\n".join(_html_row(row) for row in table.rows)
    notes = "".join(f'<p class="note">{escape(note)}</p>\n' for note in table.notes)
    return (
        f'<section>\n<h2>{escape(table.title)}</h2>\n<div class="scroll"><table>\n'
        f"<thead><tr><th>{escape(table.name)}</th>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>\n{notes}</section>"
    )


def _class(table: Table, column: int) -> str:
    words = all(not row.cells[column].number for row in table.rows)
    return ' style="text-align:left"' if words else ""


def _html_row(row: Row) -> str:
    kind = ' class="paper"' if row.grey else ""
    cells = "".join(_html_cell(cell) for cell in row.cells)
    return f'<tr{kind}><th scope="row">{escape(row.name)}</th>{cells}</tr>'


def _html_cell(cell: Cell) -> str:
    if not cell.number:
        return f'<td class="words">{escape(cell.text)}</td>'
    text = f'<span class="best">{escape(cell.text)}</span>' if cell.best else escape(cell.text)
    if cell.mark:
        text += f' <span class="mark">{escape(cell.mark)}</span>'
    if cell.deviation:
        text += f' <span class="deviation">{escape(cell.deviation)}</span>'
    return f"<td>{text}</td>"


def _html_plot(plot: Plot) -> str:
    light, dark = (
        "data:image/png;base64," + base64.b64encode(image).decode("ascii")
        for image in (plot.light, plot.dark)
    )
    dark_source = (
        f'<source srcset="{dark}" media="(prefers-color-scheme: dark)">' if dark != light else ""
    )
    return (
        f"<section>\n<figure>\n<h2>{escape(plot.title)}</h2>\n<picture>{dark_source}"
        f'<img src="{light}" alt="{escape(plot.alt)}"></picture>\n</figure>\n</section>'
    )


def _markdown_table(table: Table) -> list[str]:
    lines = [f"## {table.title}", ""]
    lines.append("| " + " | ".join(map(_pipe, (table.name, *table.columns))) + " |")
    right = [
        "---" if all(not row.cells[n].number for row in table.rows) else "---:"
        for n in range(len(table.columns))
    ]
    lines.append("| " + " | ".join(["---", *right]) + " |")
    for row in table.rows:
        name = f"*{_pipe(row.name)}*" if row.grey else _pipe(row.name)
        cells = [_markdown_cell(cell, row.grey) for cell in row.cells]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    for note in table.notes:
        lines += ["", note]
    return [*lines, ""]


def _markdown_cell(cell: Cell, grey: bool) -> str:
    text = _pipe(cell.text)
    text = f"**{text}**" if cell.best else f"*{text}*" if grey else text
    return " ".join(part for part in (text, cell.deviation, cell.mark) if part)


def _image(plot: Plot, pictures: str) -> list[str]:
    alt = plot.alt.replace("[", "(").replace("]", ")")
    return [f"## {plot.title}", "", f"![{alt}]({pictures}{plot.name}.png)", ""]


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(name: str, value: str) -> str:
    return f"<code>{escape(value)}</code>" if name == "command" else escape(value)


def _tick(name: str, value: str) -> str:
    return f"`{value}`" if name == "command" else value
