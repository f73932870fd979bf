"""Settings in; a service that listens until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import uvicorn

from reeltag.errors import ConfigError
from reeltag.serving.app import create_app
from reeltag.serving.auth import check_keys
from reeltag.serving.engine import Engine
from reeltag.serving.settings import ServeSettings
from reeltag.serving.store import Store, store_url


def serve(settings: ServeSettings, ready: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM; then finish what was accepted.

    Args:
        ready: called with the service's address once it answers.
    Raises `RunError` where the run is absent or damaged, `ConfigError` where a key is needed and
    the store has none or the address cannot be had, `StoreError` where the store cannot be opened.
    """
    place = settings.store or str(settings.run)
    store = Store.open(store_url(place))
    try:
        check_keys(store, settings, place)
        with _bound(settings) as listening:
            _serve(settings, store, listening, ready)
    finally:
        store.close()


def _serve(
    settings: ServeSettings, store: Store, listening: socket.socket, ready: Callable[[str], object]
) -> None:
    port = listening.getsockname()[1]
    if settings.uploads_folder is None:
        name = f"reeltag-uploads-{os.getuid()}-{port}"
        folder = Path(tempfile.gettempdir()) / name
        settings = settings.model_copy(update={"uploads_folder": folder})
    engine = Engine(settings.run, store, settings.engine)
    app = create_app(settings, engine, store)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=settings.stop_seconds,
            timeout_keep_alive=15,
        )
    )

    def loaded(started: Future[None]) -> None:
        if started.exception() is None:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            ready(f"http://{host}:{port}")
        else:
            server.should_exit = True

    for ending in (signal.SIGINT, signal.SIGTERM):  # uvicorn ends first, then raises them again
        signal.signal(ending, _end)
    started = engine.start()
    started.add_done_callback(loaded)
    try:
        server.run(sockets=[listening])
    finally:
        engine.stop()
    started.result()


def _end(*_: object) -> None:
    raise SystemExit(0)


def _bound(settings: ServeSettings) -> socket.socket:
    """A socket that listens at the address. Raises `ConfigError` where it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((settings.host, settings.port))
        made.listen(128)
    except OSError as fault:
        made.close()
        raise ConfigError(
            f"Got address {settings.host}:{settings.port}, which cannot be had "
            f"({fault.strerror or fault}). Expected a free one of this machine: try --port 0."
        ) from fault
    return made
