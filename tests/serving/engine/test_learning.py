"""What an engine learns of published posts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reeltag.serving.records import Published
from tests.serving.engine.asking import AT, Starting, asked, publish, same
from tests.serving.ledger import MemoryLedger


def test_the_next_answer_knows_what_was_published(house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger)
    before = engine.recommend(asked("newcomer")).result()
    assert not before.known_user
    publish(engine, ledger, "new-1", user="newcomer", hashtags=["#BrandNew", "beach"])
    after = engine.recommend(asked("newcomer")).result()
    assert after.known_user
    assert not after.warnings
    (new,) = [tag for tag in after.hashtags if tag.hashtag == "brandnew"]
    assert any(reason.text == "you used it on 1 of your 1 posts" for reason in new.reasons)
    publish(engine, ledger, "new-2", user="u1", values={"visual-test": np.ones(4, np.float32)})
    known = engine.recommend(asked("u1")).result()
    assert "brandnew" in [tag.hashtag for tag in known.hashtags]
    assert ("brandnew", 2) in engine.hashtags("#brand", 5, "default")
    assert engine.hashtags("brand", 5) == []


def test_posts_are_taken_in_by_their_numbers(house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger)
    posts = [Published("default", f"late{n}", "u1", AT + n, "goal", [f"late{n}"]) for n in range(3)]
    numbers = [ledger.save_post(post) for post in posts]
    engine.observe(numbers[2], posts[2]).result()
    tenant = engine._tenants["default"]
    assert tenant.recommender.evidence.posts["post"][-3:].to_list() == ["late0", "late1", "late2"]
    engine.observe(numbers[0], posts[0]).result()
    assert tenant.recommender.evidence.posts["post"].to_list().count("late0") == 1


def test_a_restart_gives_equal_answers(house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    engine = starting(house, ledger)
    rng = np.random.default_rng(1)
    for n in range(12):
        publish(
            engine,
            ledger,
            f"new-{n}",
            user=[f"u{n % 3}", "newcomer", None][n % 3],
            caption=["kitchen cooking", "goal match", "harbour"][n % 3],
            hashtags=[f"new{n % 4}", "by1"],
            values={"visual-test": rng.standard_normal(4).astype(np.float32)} if n % 2 else None,
            music="song 1",
        )
    again = starting(house, ledger)
    for user in ("u0", "newcomer", None):
        for n in (None, 5):
            first, second = (e.recommend(asked(user, n)).result() for e in (engine, again))
            same(first, second, 1e-5)


def test_posts_of_other_features_are_learned_without_them(house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    odd = {"visual-test": np.ones(7), "textual-other": np.ones(3)}
    for n, values in enumerate((odd, {"visual-test": np.full(4, np.inf)})):
        ledger.save_post(Published("default", f"p{n}", "new", AT, "goal", ["odd"], values))
    engine = starting(house, ledger)
    answer = engine.recommend(asked("new", k=99)).result()
    assert answer.known_user
    assert "odd" in [tag.hashtag for tag in answer.hashtags]


def test_a_model_that_cannot_observe_says_so(deaf: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    engine = starting(deaf, ledger)
    before = engine.recommend(asked()).result()
    assert any("by training alone" in warning for warning in before.warnings)
    publish(engine, ledger, "new-1", user="u1")
    same(engine.recommend(asked()).result(), before)
    ledger.erase_user("default", "u1")
    engine.forget("default", "u1").result()
    assert not engine.recommend(asked()).result().known_user
    assert engine.recommend(asked("u2")).result().known_user
    assert not engine.recommend(asked("u2", tenant="a")).result().known_user
    assert engine.model_card()["observes"] is False
