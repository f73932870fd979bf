"""`reeltag serve`: a run over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from reeltag.progress import say


def command(
    run: Path = typer.Argument(..., help="Run folder."),
    host: str = typer.Option(
        "127.0.0.1", help="Address to listen on; any but this machine's own takes keys."
    ),
    port: int = typer.Option(8000, help="Port; 0 takes a free one."),
    store: str | None = typer.Option(
        None,
        help="What is published and shown: sqlite:///FILE or postgresql://USER@HOST/DATABASE; "
        "default RUN/serving.sqlite.",
    ),
    keys: bool = typer.Option(False, "--keys", help="Ask for a key on this machine, too."),
    body_mb: int = typer.Option(200, help="Largest clip (MB)."),
    uploads: int = typer.Option(4, help="Clips that are taken in at once."),
    decoders: int = typer.Option(2, help="Clips that are read at once."),
    queue: int = typer.Option(256, help="Requests that may wait to be scored."),
    threads: int = typer.Option(
        1, min=1, help="Threads of one scoring; more are worth it for large networks alone."
    ),
) -> None:
    """Serve a run: a page, a dashboard and an API that learns of what is published.

    Needs nothing but the run. Open the address it prints, or ask with curl (docs/service.md).

    Example: reeltag serve runs/house

    For other machines, make a key first: reeltag keys create --store runs/house --scope write

    Example: reeltag serve runs/house --host 0.0.0.0
    """
    from pydantic import ValidationError

    from reeltag.errors import ConfigError
    from reeltag.runtime import set_threads
    from reeltag.serving.engine import EngineSettings
    from reeltag.serving.run import serve
    from reeltag.serving.settings import ServeSettings

    set_threads(threads)
    given: dict[str, Any] = {
        "run": run, "host": host, "port": port, "store": store, "keys": keys, "body_mb": body_mb,
        "uploads": uploads, "decoders": decoders,
    }  # fmt: skip
    try:
        settings = ServeSettings(**given, engine=EngineSettings(queue=queue))
    except ValidationError as fault:
        first = fault.errors()[0]
        name = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise ConfigError(f"Got --{name} {first['input']!r}: {first['msg']}.") from fault
    say(f"Loading {run} ...")
    serve(settings, lambda address: say(f"Ready: {address}   (Ctrl-C stops it)"))
