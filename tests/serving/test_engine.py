"""One thread that recommends, observes, forgets and changes runs: what callers may rely on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from reeltag import Recommender
from reeltag.data.corpus import Corpus
from reeltag.errors import (
    ConfigError,
    DeadlineError,
    MissingFeatureError,
    OverloadedError,
    RunError,
)
from reeltag.experiments.train import train_run
from reeltag.recommend import Answer
from reeltag.serving.engine import Engine, EngineSettings
from reeltag.serving.records import Asked, Published
from tests.models.captioned import captioned
from tests.serving.ledger import MemoryLedger

SMALL = {"rounds": 10, "least_rows": 3, "candidates": 12}
AT = 1_800_000_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return captioned(tmp_path_factory.mktemp("served") / "data")


def trained(corpus: Corpus, model: str, settings: dict[str, Any]) -> Path:
    out = corpus.dataset.path.parent / model
    train_run(corpus.dataset, "main", model, settings, out)
    return out


@pytest.fixture(scope="module")
def house(corpus: Corpus) -> Path:
    return trained(corpus, "reeltag", SMALL)


@pytest.fixture(scope="module")
def other(corpus: Corpus) -> Path:
    return trained(corpus, "user-history", {})


@pytest.fixture(scope="module")
def deaf(corpus: Corpus) -> Path:
    """A run that cannot observe."""
    return trained(corpus, "user-additive", {"dim": 4, "epochs": 1})


Starting = Callable[..., Engine]


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


def everything(engine: Engine, users: tuple[str | None, ...], **given: Any) -> str:
    """All that is said to some users, as text."""
    answers = [engine.recommend(asked(user, 1, k=99, **given)).result() for user in users]
    return json.dumps([answer.as_json() for answer in answers])


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


def test_a_run_that_is_none_is_said(tmp_path: Path) -> None:
    engine = Engine(tmp_path, MemoryLedger())
    with pytest.raises(RunError, match="no ReelTag run"):
        engine.start().result()
    assert not engine.ready
    engine.stop()


def test_posts_of_other_features_are_learned_without_them(house: Path, starting: Starting) -> None:
    ledger = MemoryLedger()
    odd = {"visual-test": np.ones(7), "textual-other": np.ones(3)}
    for n, values in enumerate((odd, {"visual-test": np.full(4, np.inf)})):
        ledger.save_post(Published("default", f"p{n}", "new", AT, "goal", ["odd"], values))
    engine = starting(house, ledger)
    answer = engine.recommend(asked("new", k=99)).result()
    assert answer.known_user
    assert "odd" in [tag.hashtag for tag in answer.hashtags]


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
