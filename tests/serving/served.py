"""Real services for tests: uvicorn on a free port, in a thread of its own."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

from reeltag.experiments.train import train_run
from reeltag.serving.app import create_app
from reeltag.serving.engine import Engine
from reeltag.serving.protocol import server_of
from reeltag.serving.settings import ServeSettings
from reeltag.serving.store import Store
from tests.recommend.filmed import filmed


@dataclass
class Served:
    """A service that answers."""

    address: str
    engine: Engine
    store: Store
    settings: ServeSettings
    client: httpx.Client

    def recommend(self, **said: Any) -> dict[str, Any]:
        """What is recommended."""
        answer = self.client.post("/v1/recommend", json=said)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


@contextmanager
def small_run(folder: Path) -> Iterator[Path]:
    """A run that reads clips, and observes; nothing is as quickly trained and opened."""
    with filmed(folder, ["live tonight"] * 12, acoustic=["logmel"]) as dataset:
        train_run(dataset, "main", "user-history", {}, folder / "run")
        yield folder / "run"


@contextmanager
def served(run: Path, folder: Path, **settings: Any) -> Iterator[Served]:
    """Serve a run; its store and its uploads lie in `folder`."""
    url = settings.pop("store", f"sqlite:///{folder}/store.sqlite")
    given = ServeSettings(run=run, uploads_folder=folder / "uploads", **settings)
    store = Store.open(url)
    engine = Engine(run, store, given.engine)
    app = create_app(given, engine, store)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = server_of(app, given)
        thread = Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        engine.start().result()
        while not server.started:
            time.sleep(0.01)
        address = f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(base_url=address, timeout=60) as client:
                yield Served(address, engine, store, given, client)
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            engine.stop()
            store.close()
    assert not thread.is_alive()


def events(text: str) -> list[tuple[str, Any]]:
    """Kind and data of server-sent events."""
    found = []
    for block in text.split("\n\n"):
        if block and not block.startswith(":"):
            kind, data = block.split("\n")
            found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found
