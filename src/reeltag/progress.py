"""Progress with an estimate, on stderr, for anything that may take over two seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from reeltag.together import first

console = Console(stderr=True, highlight=False)


class Tracker:
    """Handed out by `track`: `advance` moves the bar, `note` changes the words after it."""

    def __init__(self, progress: Progress, task: int) -> None:
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        """Say that `steps` more of the total are done."""
        self._progress.advance(self._task, steps)  # type: ignore[arg-type]

    def note(self, text: str) -> None:
        """Show `text` after the bar (the newest loss, the count of failures)."""
        self._progress.update(self._task, note=text)  # type: ignore[arg-type]


@contextmanager
def track(what: str, total: int | None) -> Iterator[Tracker]:
    """Show a bar named `what` while the block runs; quiet where stderr is no terminal."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
        disable=not (sys.stderr.isatty() and first()),
    )
    with progress:
        task = progress.add_task(what, total=total, note="")
        yield Tracker(progress, task)


def say(message: str) -> None:
    """Print one line for people, on stderr; the first of processes that work together does."""
    if first():
        console.print(message, markup=False, soft_wrap=True)
