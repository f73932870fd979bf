"""What tests ask of an engine, and how they compare its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event
from typing import Any

import numpy as np
import pytest

from reeltag.recommend import Answer
from reeltag.serving.engine import Engine
from reeltag.serving.records import Asked, Published
from tests.serving.ledger import MemoryLedger

AT = 1_800_000_000
Starting = Callable[..., Engine]


def asked(user: str | None = "u1", seed: int | None = None, **given: Any) -> Asked:
    values = None
    if seed is not None:
        values = {"visual-test": np.random.default_rng(seed).standard_normal(4)}
    return Asked(
        **{"user": user, "caption": "sunset beach", "values": values, "at": AT, "k": 12, **given}
    )


def told(answer: Answer) -> list[Any]:
    """All that an answer says of hashtags, with scores to 1e-6."""
    return [
        (t.hashtag, round(t.score, 5), [r.as_json() for r in t.reasons]) for t in answer.hashtags
    ]


def same(first: Answer, second: Answer, within: float = 1e-6) -> None:
    assert (first.user, first.known_user, first.warnings) == (
        second.user,
        second.known_user,
        second.warnings,
    )
    for mine, its in zip(first.hashtags, second.hashtags, strict=True):
        assert mine.hashtag == its.hashtag
        assert mine.score == pytest.approx(its.score, abs=within)
        assert [r.text for r in mine.reasons] == [r.text for r in its.reasons]


def publish(engine: Engine, ledger: MemoryLedger, post: str, **given: Any) -> None:
    made = Published(
        **{
            "tenant": "default",
            "post": post,
            "user": "u1",
            "at": AT,
            "caption": "sunset beach",
            "hashtags": ["brandnew"],
            **given,
        }
    )
    engine.observe(ledger.save_post(made), made).result()


def everything(engine: Engine, users: tuple[str | None, ...], **given: Any) -> str:
    """All that is said to some users, as text."""
    answers = [engine.recommend(asked(user, 1, k=99, **given)).result() for user in users]
    return json.dumps([answer.as_json() for answer in answers])


class Held:
    """The engine's thread, busy until this is left."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.there, self.go = engine, Event(), Event()

    def __enter__(self) -> Held:
        self.engine._intake.notify(self._wait)
        assert self.there.wait(60)
        return self

    def _wait(self) -> None:
        self.there.set()
        assert self.go.wait(60)

    def __exit__(self, *_: object) -> None:
        self.go.set()
