"""Recommendations that are stored while their answers are on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

import pytest

from reeltag.errors import StoreError
from reeltag.serving.saving import MOST, Saving
from reeltag.serving.store import Shown, Store


class Slow:
    """A store that writes a recommendation once it may; it fails where it is told to."""

    def __init__(self, store: Store) -> None:
        self.store, self.may = store, Event()
        self.fault: Exception | None = None

    def save_recommendations(self, shown: Sequence[Shown]) -> None:
        assert self.may.wait(30)
        if self.fault is not None:
            raise self.fault
        self.store.save_recommendations(shown)


@pytest.fixture
def slow(tmp_path: Any) -> Iterator[Slow]:
    store = Store.open(f"sqlite:///{tmp_path}/store.sqlite")
    slow = Slow(store)
    yield slow
    slow.may.set()
    store.close()


def saving_of(slow: Slow, failed: list[str]) -> Saving:
    return Saving(slow, lambda: failed.append("failed"))  # type: ignore[arg-type]


def shown(id: str, user: str | None = "u1") -> Shown:
    return Shown(id, "default", user, 1, [("cats", 0.5)], "run")


def test_who_needs_a_recommendation_waits_until_it_is_stored(slow: Slow) -> None:
    async def told() -> tuple[bool, Shown | None]:
        saving = saving_of(slow, [])
        await saving.begin(shown("r1"), time.monotonic())
        waiting = asyncio.create_task(saving.stored("r1"))
        done, _ = await asyncio.wait([waiting], timeout=0.1)
        slow.may.set()
        await waiting
        await saving.stored("r1")
        return bool(done), slow.store.recommendation("default", "r1")

    early, stored = asyncio.run(told())
    assert not early
    assert stored == shown("r1")


def test_erasing_waits_and_nothing_asked_for_before_is_stored_after(slow: Slow) -> None:
    async def told() -> list[bool]:
        saving = saving_of(slow, [])
        asked = time.monotonic()
        await saving.begin(shown("before"), asked)
        forgetting = asyncio.create_task(saving.forget("default", "u1"))
        done, _ = await asyncio.wait([forgetting], timeout=0.1)
        slow.may.set()
        await forgetting
        slow.store.erase_user("default", "u1")
        await saving.begin(shown("late"), asked)
        await saving.begin(shown("another", "u2"), asked)
        await saving.begin(shown("after"), time.monotonic())
        await saving.all_stored()
        there = [slow.store.recommendation("default", id) is not None
                 for id in ("before", "late", "another", "after")]  # fmt: skip
        return [bool(done), *there]

    assert asyncio.run(told()) == [False, False, False, True, True]


@pytest.mark.parametrize("fault", [StoreError("the disk is full"), RuntimeError("no such thing")])
def test_what_cannot_be_stored_is_told_and_keeps_nobody_waiting(
    slow: Slow, fault: Exception
) -> None:
    failed: list[str] = []
    slow.fault = fault
    slow.may.set()

    async def told() -> None:
        saving = saving_of(slow, failed)
        await saving.begin(shown("r1"), time.monotonic())
        await saving.stored("r1")
        await saving.all_stored()

    asyncio.run(told())
    assert failed == ["failed"]
    assert slow.store.recommendation("default", "r1") is None


def test_many_that_wait_make_the_next_one_wait(slow: Slow) -> None:
    async def told() -> bool:
        saving = saving_of(slow, [])
        for number in range(MOST):
            await saving.begin(shown(f"r{number}"), time.monotonic())
        more = asyncio.create_task(saving.begin(shown("more"), time.monotonic()))
        done, _ = await asyncio.wait([more], timeout=0.1)
        slow.may.set()
        await more
        await saving.all_stored()
        return bool(done)

    assert not asyncio.run(told())
    assert slow.store.recommendation("default", "more") is not None


def test_one_that_cannot_be_stored_takes_no_other_with_it(slow: Slow) -> None:
    failed: list[str] = []
    slow.may.set()

    async def told() -> None:
        saving = saving_of(slow, failed)
        for id in ("r1", "nul \0", "r2"):
            await saving.begin(shown(id), time.monotonic())
        await saving.all_stored()

    asyncio.run(told())
    assert failed == ["failed"]
    found = [slow.store.recommendation("default", id) is not None for id in ("r1", "r2")]
    assert found == [True, True]
