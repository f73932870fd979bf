"""An engine starts, changes runs under load, and stops."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from reeltag.errors import (
    OverloadedError,
    RunError,
)
from reeltag.serving.engine import Engine
from reeltag.serving.records import Published
from tests.serving.engine.asking import AT, Held, Starting, asked, publish, same, told
from tests.serving.ledger import MemoryLedger


def test_another_run_is_served_without_a_request_lost(
    house: Path, other: Path, starting: Starting
) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger)
    publish(engine, ledger, "new-1")
    old = engine.recommend(asked(explain=False)).result()
    with pytest.raises(RunError, match="first"):
        engine.rollback().result()
    with pytest.raises(RunError, match="no ReelTag run"):
        engine.reload(house.parent / "nothing").result()
    assert told(engine.recommend(asked(explain=False)).result()) == told(old)
    done = Event()

    def ask() -> int:
        count = 0
        while not done.is_set() or not count:
            assert engine.recommend(asked(explain=False)).result().hashtags
            count += 1
        return count

    with ThreadPoolExecutor(3) as callers:
        counts = [callers.submit(ask) for _ in range(3)]
        try:
            engine.reload(other).result()
        finally:
            done.set()
        assert all(count.result() for count in counts)
    assert engine.model_card()["model"] == "user-history"
    assert told(engine.recommend(asked(explain=False)).result()) != told(old)
    new = engine.recommend(asked(k=99)).result()
    # What was published is known to the new run, and what is published now to the old one.
    assert "brandnew" in [tag.hashtag for tag in new.hashtags]
    publish(engine, ledger, "new-2", hashtags=["newer"])
    engine.rollback().result()
    assert engine.model_card()["model"] == "reeltag"
    back = engine.recommend(asked(k=99)).result()
    assert {"brandnew", "newer"} <= {tag.hashtag for tag in back.hashtags}
    engine.rollback().result()
    assert engine.model_card()["model"] == "user-history"


def test_a_run_that_is_none_is_said(tmp_path: Path) -> None:
    engine = Engine(tmp_path, MemoryLedger())
    with pytest.raises(RunError, match="no ReelTag run"):
        engine.start().result()
    assert not engine.ready
    engine.stop()


def test_stopping_answers_what_was_accepted(house: Path) -> None:
    engine = Engine(house, MemoryLedger())
    with pytest.raises(OverloadedError, match="loaded"):
        engine.recommend(asked())
    engine.start().result()
    with ThreadPoolExecutor(1) as stopper:
        with Held(engine):
            futures = [engine.recommend(asked(tenant=name)) for name in ("default", "a") * 3]
            stopping = stopper.submit(engine.stop)
            assert not stopping.done()
        stopping.result()
    assert all(future.result().hashtags for future in futures)
    with pytest.raises(OverloadedError, match="stop"):
        engine.recommend(asked())
    with pytest.raises(OverloadedError, match="stop"):
        engine.observe(1, Published("default", "late", "u1", AT, "", []))


def test_everything_at_once_ends_as_one_after_another(
    house: Path, other: Path, starting: Starting
) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger, tenants=2)
    tenants = ("default", "a", "b")

    def ask(tenant: str) -> None:
        for n in range(12):
            assert engine.recommend(asked(f"u{n % 3}", tenant=tenant), 60).result().hashtags

    def post(tenant: str) -> None:
        for n in range(8):
            given = {"user": f"u{n % 3}", "hashtags": [f"only{tenant}", f"n{n}"]}
            publish(engine, ledger, f"{tenant}{n}", tenant=tenant, **given)

    def forget(tenant: str) -> None:
        ledger.erase_user(tenant, "u1")
        engine.forget(tenant, "u1").result()

    def change(_: str) -> None:
        engine.reload(other).result()
        engine.rollback().result()

    with ThreadPoolExecutor(10) as people:
        doing = [people.submit(work, t) for work in (ask, post, forget) for t in tenants]
        doing.append(people.submit(change, ""))
        for done in doing:
            done.result()
    for tenant in tenants:
        forget(tenant)
    again = starting(house, ledger)
    for tenant in tenants:
        for user in ("u0", "u1"):
            request = asked(user, tenant=tenant, k=99)
            found = engine.recommend(request).result()
            same(found, again.recommend(request).result(), 1e-5)
            assert found.known_user is (user == "u0")
