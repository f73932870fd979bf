"""The dashboard's figures, against counting by hand."""

from __future__ import annotations

import pytest

from reeltag.errors import InputError
from reeltag.serving.store import Failure, Store, Trend
from tests.serving.conftest import Clock
from tests.serving.store.posts import post, shown


def test_recommendations_by_minute(store: Store, clock: Clock) -> None:
    start = clock.now = 60 * 28_000_000
    for n, seconds in enumerate((0, 59, 60, 200)):
        clock.now = start + seconds
        store.save_recommendation(shown(id=f"r{n}", at=0, tenant=f"t{n % 2}"))
    found = store.stats(start)
    assert found.minutes == [(start, 2), (start + 60, 1), (start + 180, 1)]
    assert found.recommendations == 4
    assert store.stats(start, "t1").minutes == [(start, 1), (start + 180, 1)]
    assert store.stats(start + 61).recommendations == 1
    assert (found.since, found.until) == (start, clock.now + 1)


def test_acceptance_is_of_posts_whose_recommendation_is_known(store: Store, clock: Clock) -> None:
    best = [(f"h{n}", -float(n)) for n in range(1, 21)]
    used = {"a": ["h1"], "b": ["x", "h7", "h5"], "c": ["h9"], "d": ["h11"], "e": ["x"]}
    for name, tags in used.items():
        store.save_recommendation(shown(id=name, hashtags=best))
        store.save_post(post(post=name, recommendation=name, hashtags=tags))
    store.save_post(post(post="f", recommendation="gone", hashtags=["h1"]))
    store.save_post(post(post="g", recommendation=None, hashtags=["h1"]))
    store.save_post(post(post="h", recommendation="a", hashtags=["h1"], tenant="other"))
    found = store.stats(0)
    assert (found.posts, found.judged) == (8, 5)
    assert found.accepted == {1: 1 / 5, 5: 2 / 5, 10: 3 / 5}
    store.prune(clock.now + 1)
    assert store.stats(0).accepted == found.accepted
    assert store.stats(0, "other").accepted == {1: None, 5: None, 10: None}


def test_trending_is_more_now_than_before(store: Store, clock: Clock) -> None:
    start, number = clock.now, 0
    for seconds, tags in {0: "aabbbé", 100: "aaabbbcdé海海"}.items():
        clock.now = start + seconds
        for tag in tags:
            number += 1
            store.save_post(post(post=f"p{number}", hashtags=[tag]))
    store.save_post(post(post="other", tenant="other", hashtags=["b"] * 9))
    clock.now = start + 149
    since = start + 75
    expected = [Trend("海", 2, 0), Trend("a", 3, 2), Trend("c", 1, 0), Trend("d", 1, 0)]
    assert store.stats(since, "acme").trending == [expected[n] for n in (0, 1, 2, 3)]
    assert store.stats(since).trending[0] == Trend("b", 12, 3)
    assert store.stats(start + 101).trending == []


def test_the_newest_failures_first(store: Store, clock: Clock) -> None:
    for n in range(30):
        store.save_failure(f"t{n % 2}", n, "decode", f"reason {n}", user="ann")
    found = store.stats(0).failures
    assert found[0] == Failure("t1", 29, "decode", "reason 29")
    assert [f.at for f in found] == list(range(29, 9, -1))
    assert {f.tenant for f in store.stats(0, "t0").failures} == {"t0"}
    assert store.count("failures", "t0") == 15
    assert store.count("failures", since=clock.now + 1) == 0


def test_nothing_is_no_division_by_zero(store: Store, clock: Clock) -> None:
    found = store.stats(0, "nobody-yet")
    assert (found.posts, found.recommendations, found.judged) == (0, 0, 0)
    assert found.trending == found.minutes == found.failures == []
    with pytest.raises(InputError, match="before now"):
        store.stats(clock.now + 1)
