"""Requests that are taken together, and how long is waited for them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from reeltag.recommend import Answer
from reeltag.serving.queue import Ask, Intake
from reeltag.serving.records import Asked


def put(intake: Intake, count: int = 1) -> None:
    for _ in range(count):
        intake.put(Ask(Asked(), time.monotonic() + 60))


def answered(intake: Intake, seconds: float) -> int:
    """Take what there is and answer it, as if that had taken `seconds`."""
    taken = intake.take(32)
    assert taken is not None
    intake.took(seconds, max(1, len(taken[1])))
    for ask in taken[1]:
        ask.future.set_result(Answer("u", True, [], [], {}))
    return len(taken[1])


def test_those_just_answered_are_waited_for() -> None:
    intake = Intake(32)
    put(intake, 4)
    assert answered(intake, 60.0) == 4

    def ask_again() -> None:
        for _ in range(4):
            time.sleep(0.02)
            put(intake)

    with ThreadPoolExecutor(1) as callers:
        callers.submit(ask_again)
        assert answered(intake, 0.1) == 4


def test_whoever_does_not_ask_again_is_not_waited_for_twice() -> None:
    intake = Intake(32)
    put(intake, 4)
    assert answered(intake, 0.1) == 4
    put(intake)
    assert answered(intake, 60.0) == 1
    put(intake)  # it was alone: half a minute is not waited
    began = time.monotonic()
    assert answered(intake, 60.0) == 1
    assert time.monotonic() - began < 20
