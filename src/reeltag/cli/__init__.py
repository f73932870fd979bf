"""The command line: `reeltag COMMAND ...`. One file a command; no logic of its own.

Exit codes: 0 done, 1 failed, 2 wrong usage or bad input (one clear message on stderr).
With `--json` a command prints exactly one JSON object on stdout; all else goes to stderr.
"""

from __future__ import annotations

import typer

from reeltag.cli import (
    compare,
    demo,
    doctor,
    evaluate,
    export,
    extract,
    filter_,
    import_,
    info,
    keys,
    models,
    recommend,
    recommend_batch,
    reproduce,
    serve,
    split,
    train,
    tune,
    update,
)
from reeltag.cli.guard import guarded

app = typer.Typer(
    name="reeltag",
    help=(
        "Recommend hashtags for micro-videos, personally.\n\n"
        "The road: import → filter → split → extract → train → evaluate → recommend → serve. "
        "Start with: reeltag demo"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.command("demo")(guarded(demo.command))
app.command("import")(guarded(import_.command))
app.command("info")(guarded(info.command))
app.command("filter")(guarded(filter_.command))
app.command("split")(guarded(split.command))
app.command("extract")(guarded(extract.command))
app.command("train")(guarded(train.command))
app.command("update")(guarded(update.command))
app.command("evaluate")(guarded(evaluate.command))
app.command("compare")(guarded(compare.command))
app.command("reproduce")(guarded(reproduce.command))
app.command("tune")(guarded(tune.command))
app.command("recommend")(guarded(recommend.command))
app.command("recommend-batch")(guarded(recommend_batch.command))
app.command("export")(guarded(export.command))
app.command("serve")(guarded(serve.command))
app.add_typer(keys.app, name="keys")
app.command("models")(guarded(models.models))
app.command("extractors")(guarded(models.extractors))
app.command("doctor")(guarded(doctor.command))


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        import reeltag

        print(reeltag.__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
