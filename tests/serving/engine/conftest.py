"""Runs of a small world, and engines that serve them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reeltag.data.corpus import Corpus
from reeltag.experiments.train import train_run
from reeltag.serving.engine import Engine, EngineSettings
from tests.models.captioned import captioned
from tests.serving.engine.asking import Starting
from tests.serving.ledger import MemoryLedger

SMALL = {"rounds": 10, "least_rows": 3, "candidates": 12}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("served") / "data")


def trained(corpus: Corpus, model: str, settings: dict[str, Any]) -> Path:
    out = corpus.dataset.path.parent / model
    train_run(corpus.dataset, "main", model, settings, out)
    return out


@pytest.fixture(scope="session")
def house(corpus: Corpus) -> Path:
    return trained(corpus, "reeltag", SMALL)


@pytest.fixture(scope="session")
def other(corpus: Corpus) -> Path:
    return trained(corpus, "user-history", {})


@pytest.fixture(scope="session")
def deaf(corpus: Corpus) -> Path:
    """A run that cannot observe."""
    return trained(corpus, "user-additive", {"dim": 4, "epochs": 1})


@pytest.fixture
def starting() -> Iterator[Starting]:
    """Starts engines, and stops them in the end."""
    engines = []

    def start(run: Path, ledger: MemoryLedger, **settings: Any) -> Engine:
        engine = Engine(run, ledger, EngineSettings(**settings))
        engines.append(engine)
        engine.start().result()
        assert engine.ready
        return engine

    yield start
    for engine in engines:
        engine.stop()
