"""Names of benchmark modules (default: all) in; `build/bench.json` and a table of figures out.

    python -m benchmarks [NAME ...]

A benchmark is a module of this folder with

    main() -> {name: {"value", "unit", "target", "ok", "note"}}

Each one runs in a process of its own, so that its peak memory is its own. This parent
imports nothing heavy: Linux counts the memory of the process that starts a child
towards the child's peak.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reeltag.storage import write_text

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = ROOT / "build" / "bench.json"
FIELDS = ("value", "unit", "target", "ok", "note")
LIBRARIES = ("reeltag", "torch", "numpy", "polars", "av", "librosa", "onnxruntime")
_CHILD = "--child"


def discover() -> list[str]:
    """Names of the modules beside this one that define `main`, sorted; none is imported."""
    names = []
    for path in sorted(HERE.glob("[!_]*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in body):
            names.append(path.stem)
    return names


def run(name: str) -> tuple[dict[str, dict[str, Any]], bool]:
    """The figures of one benchmark and whether it ran to its end."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "figures.json"
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", _CHILD, name, str(answer)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode == 0 and answer.is_file():
            return json.loads(answer.read_text(encoding="utf-8")), True
    sys.stderr.write(done.stderr)
    last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
    return {name: {"value": None, "unit": "", "target": None, "ok": False, "note": last[0]}}, False


def child(name: str, answer: Path) -> None:
    """Run one benchmark here and write its figures to `answer`."""
    figures = importlib.import_module(f"benchmarks.{name}").main()
    for key, figure in figures.items():
        if set(figure) != set(FIELDS):
            raise ValueError(f"{name}: {key!r} has {sorted(figure)}, expected {sorted(FIELDS)}")
    answer.write_text(json.dumps(figures, allow_nan=False), encoding="utf-8")


def machine() -> str:
    """One line on this machine: cores, CPU model, memory."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores · {model} · {memory:.1f} GiB memory · {platform.system()}"


def versions() -> str:
    """One line on Python and the libraries that decide the figures."""
    found = [f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            found.append(f"{library} absent")
    return " · ".join(found)


def show(figures: dict[str, dict[str, Any]]) -> None:
    """Print the figures as a table, then what they were measured on."""
    console = Console(highlight=False)
    table = Table(title="ReelTag benchmarks")
    for column in ("", "figure", "value", "unit", "target", "note"):
        table.add_column(column, justify="right" if column in {"value", "target"} else "left")
    for name, figure in figures.items():
        value, target = _number(figure["value"]), _number(figure["target"])
        mark = "[green]ok[/]" if figure["ok"] else "[red]no[/]"
        table.add_row(mark, name, value, figure["unit"], target, str(figure["note"]))
    console.print(table)
    console.print(machine(), markup=False)
    console.print(versions(), markup=False)


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def main(arguments: list[str]) -> int:
    """Run the benchmarks named; 0 where all ran, 1 where one crashed, 2 for an unknown name."""
    if arguments[:1] == [_CHILD]:
        child(arguments[1], Path(arguments[2]))
        return 0
    known = discover()
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        print(f"Got {', '.join(unknown)}, expected names of: {', '.join(known)}.", file=sys.stderr)
        return 2
    figures: dict[str, dict[str, Any]] = {}
    whole = True
    for name in arguments or known:
        print(f"benchmark {name} ...", file=sys.stderr, flush=True)
        found, ended = run(name)
        whole = whole and ended
        for key, figure in found.items():
            figures[f"{name}.{key}" if key in figures else key] = figure
    write_text(OUT, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    show(figures)
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
