"""The command line: `reeltag COMMAND ...`. One file a command; no logic of its own.

Exit codes: 0 done, 1 failed, 2 wrong usage or bad input (one clear message on stderr).
With `--json` a command prints exactly one JSON object on stdout; all else goes to stderr.
"""

from __future__ import annotations

import os
import sys

import typer

from reeltag.cli import (
    demo,
    doctor,
    evaluate,
    extract,
    filter_,
    import_,
    info,
    models,
    recommend,
    split,
    train,
)
from reeltag.errors import ReelTagError
from reeltag.progress import say

app = typer.Typer(
    name="reeltag",
    help=(
        "Recommend hashtags for micro-videos, personally.\n\n"
        "The road: import → filter → split → extract → train → evaluate → recommend. "
        "Start with: reeltag demo"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.command("demo")(demo.command)
app.command("import")(import_.command)
app.command("info")(info.command)
app.command("filter")(filter_.command)
app.command("split")(split.command)
app.command("extract")(extract.command)
app.command("train")(train.command)
app.command("evaluate")(evaluate.command)
app.command("recommend")(recommend.command)
app.command("models")(models.models)
app.command("extractors")(models.extractors)
app.command("doctor")(doctor.command)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        import reeltag

        print(reeltag.__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; every error becomes one message and an exit code."""
    debug = bool(os.environ.get("REELTAG_DEBUG"))
    try:
        app()
    except ReelTagError as error:
        if debug:
            raise
        say(f"reeltag: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("reeltag: stopped. Nothing half-written is left; the same command goes on or redoes.")
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        where = f" {error.filename}" if error.filename else ""
        say(f"reeltag:{where}: {error.strerror or error}. Nothing half-written is left.")
        sys.exit(1)
