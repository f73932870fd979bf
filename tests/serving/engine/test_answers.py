"""What is asked of an engine at once, in vain or too late."""

from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from reeltag import Recommender
from reeltag.errors import (
    ConfigError,
    DeadlineError,
    MissingFeatureError,
    OverloadedError,
)
from reeltag.recommend import Answer
from tests.serving.engine.asking import AT, Held, Starting, asked, same
from tests.serving.ledger import MemoryLedger


def test_answers_given_together_are_those_given_alone(
    house: Path, starting: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = starting(house, MemoryLedger())
    requests = [
        asked(user, n if n % 3 else None, k=1 + n, explain=n % 4 > 0, caption=caption)
        for n, (user, caption) in enumerate(
            (user, caption)
            for user in ("u1", "u2", None, "stranger")
            for caption in ("kitchen cooking #by1", "", None, "only1 goal match")
        )
    ]
    alone = [engine.recommend(request).result() for request in requests]
    sizes = []
    respond = Recommender.respond

    def counted(self: Recommender, reads: Any) -> list[Answer]:
        sizes.append(len(reads))
        return respond(self, reads)

    monkeypatch.setattr(Recommender, "respond", counted)
    with Held(engine):
        futures = [engine.recommend(request) for request in requests]
        assert engine.depth == len(requests)
    for future, expected in zip(futures, alone, strict=True):
        same(future.result(), expected)
    assert sizes == [len(requests)]
    with Held(engine):
        assert engine.depth == 0
    # And they are what the run answers without a service.
    own = Recommender.load(house).answer(user="u2", k=7, at=AT)
    assert [t.hashtag for t in alone[6].hashtags] == [t.hashtag for t in own.hashtags]


def test_who_is_late_is_told(house: Path, starting: Starting) -> None:
    engine = starting(house, MemoryLedger())
    with Held(engine):
        late, fine = engine.recommend(asked(), deadline=0.0), engine.recommend(asked())
        gone = engine.recommend(asked())
        assert gone.cancel()
    with pytest.raises(DeadlineError, match="waited"):
        late.result()
    with pytest.raises(CancelledError):
        gone.result()
    assert fine.result().hashtags


def test_who_waits_for_a_tenant_is_told_in_time(house: Path, starting: Starting) -> None:
    engine = starting(house, MemoryLedger())
    go = Event()
    engine._builder.submit(go.wait, 60)
    late = engine.recommend(asked(tenant="a"), deadline=0.05)
    fine = engine.recommend(asked(tenant="a"))
    with pytest.raises(DeadlineError, match="waited"):
        late.result(30)
    assert not fine.done()
    go.set()
    assert fine.result().hashtags


def test_too_many_are_refused_at_once(house: Path, starting: Starting) -> None:
    engine = starting(house, MemoryLedger(), queue=2)
    with Held(engine):
        accepted = [engine.recommend(asked()) for _ in range(2)]
        with pytest.raises(OverloadedError, match="2 requests are waiting") as refused:
            engine.recommend(asked())
        assert 1 <= refused.value.retry_after <= 60
    assert all(future.result().hashtags for future in accepted)
    with Held(engine):  # what is answered has made room
        again = engine.recommend(asked())
    assert again.result().hashtags


def test_one_bad_request_is_its_own_fault(house: Path, starting: Starting) -> None:
    engine = starting(house, MemoryLedger())
    with Held(engine):
        bad = [
            (engine.recommend(asked(k=0)), ConfigError),
            (engine.recommend(asked(profile={"height": 3})), ConfigError),
            (engine.recommend(asked(values={"visual-test": np.ones(9)})), MissingFeatureError),
            (
                engine.recommend(asked(values={"visual-test": np.full(4, np.nan)})),
                MissingFeatureError,
            ),
        ]
        good = engine.recommend(asked())
    for future, kind in bad:
        with pytest.raises(kind):
            future.result()
    assert good.result().hashtags
