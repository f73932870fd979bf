"""Whom an engine forgets, and who never sees whom."""

from __future__ import annotations

import json
from pathlib import Path

from reeltag.data.corpus import Corpus
from tests.serving.engine.asking import Held, Starting, asked, everything, publish, same, told
from tests.serving.ledger import MemoryLedger


def test_who_is_forgotten_leaves_nothing(corpus: Corpus, house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger)
    posts = corpus.dataset.posts
    theirs = {p for p, user in zip(posts["post"], posts["user"], strict=True) if user == "u1"}
    publish(engine, ledger, "secret-post", user="u1", hashtags=["secretive"])
    publish(engine, ledger, "kept-post", user="u2", hashtags=["kept"])
    assert engine.history_of_training("default", "u1").posts > 0
    before = everything(engine, ("u1", "u2", None))
    assert "secretive" in before
    assert any(f'"{post}"' in before for post in theirs)
    stranger = engine.recommend(asked("stranger", 1, explain=False)).result()

    ledger.erase_user("default", "u1")
    engine.forget("default", "u1").result()
    after = everything(engine, ("u1", "u2", None, "u0"))
    assert "secret" not in after
    assert not any(f'"{post}"' in after for post in theirs)
    assert "kept" in after
    assert engine.hashtags("secretive", 5, "default") == []
    assert engine.history_of_training("default", "u1").posts == 0
    assert engine.history_of_training("default", "u2").posts > 0
    assert set(engine.users_of_training("default", "u", 9)) == {"u0", "u2", "u3", "u4"}
    assert len(engine.users_of_training("default", "u", 2)) == 2
    assert engine.users_of_training("a", "u", 9) == {}
    answer = engine.recommend(asked("u1", 1, explain=False)).result()
    assert not answer.known_user
    nobody = engine.recommend(asked(None, 1, explain=False)).result()
    assert [t.score for t in answer.hashtags] == [t.score for t in nobody.hashtags]
    assert stranger.hashtags
    # The same holds after a restart; and who comes back is somebody new.
    again = starting(house, ledger)
    assert not again.recommend(asked("u1")).result().known_user
    for each in (engine, again):
        publish(each, ledger, "back", user="u1", hashtags=["return"])
        known = each.recommend(asked("u1")).result()
        assert known.known_user
        assert "of your 1 post" in json.dumps(known.as_json())
        ledger.erase_user("default", "u1")
        each.forget("default", "u1").result()


def test_tenants_never_see_each_other(corpus: Corpus, house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger)
    plain = told(engine.recommend(asked(k=99)).result())
    publish(engine, ledger, "post-of-a", tenant="a", user="anna", hashtags=["onlya"])
    publish(engine, ledger, "post-of-b", tenant="b", user="anna", hashtags=["onlyb"])
    assert told(engine.recommend(asked(k=99)).result()) == plain
    by_a = everything(engine, ("anna", "u1", None), tenant="a")
    by_b = everything(engine, ("anna", "u1", None), tenant="b")
    assert "onlya" in by_a
    assert "onlyb" in by_b
    assert "onlyb" not in by_a
    assert "onlya" not in by_b
    assert "post-of-b" not in by_a
    posts = corpus.dataset.posts["post"]
    for said in (by_a, by_b):
        assert not any(f'"{post}"' in said for post in posts)
        assert '"history"' in said  # anna's own
    stranger = engine.recommend(asked("u1", tenant="a")).result()
    assert not stranger.known_user
    assert engine.history_of_training("a", "u1").posts == 0
    assert engine.hashtags("only", 9, "a") == [("onlya", 1)]
    assert engine.hashtags("only", 9) == []
    assert "only" not in everything(engine, ("u1", None), tenant="c")


def test_few_tenants_are_in_memory_and_none_is_lost(house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger, tenants=2)
    for tenant in ("a", "b", "c"):
        publish(engine, ledger, f"of-{tenant}", tenant=tenant, hashtags=[f"only{tenant}"])
    for tenant in ("a", "b", "c", "a", "default"):
        known = engine.recommend(asked(tenant=tenant)).result()
        assert known.known_user
        assert (f"only{tenant}" in [t.hashtag for t in known.hashtags]) is (tenant != "default")
        assert len(engine._tenants) <= 2
    # An absent tenant's requests wait for it together with those of others.
    requests = [asked(tenant=tenant) for tenant in ("a", "b", "c", "default", "a", "b")]
    with Held(engine):
        futures = [engine.recommend(request) for request in requests]
    for future, request in zip(futures, requests, strict=True):
        same(future.result(), engine.recommend(request).result())
