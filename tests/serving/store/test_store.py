"""What goes into the store comes out again, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reeltag.errors import ConflictError, InputError
from reeltag.serving.store import Store, UserHistory, store_url
from tests.serving.conftest import Clock
from tests.serving.store.posts import POST, SHOWN, VALUES, assert_same_values, post, shown


def test_a_recommendation_comes_back(store: Store) -> None:
    store.save_recommendation(SHOWN)
    back = store.recommendation("acme", "r1")
    assert back == SHOWN
    assert_same_values(back.values, VALUES)
    bare = shown(id="r2", user=None, values=None, caption="", music=None, place=None, hashtags=[])
    store.save_recommendation(bare)
    back = store.recommendation("acme", "r2")
    assert back == bare
    assert back.values is None


def test_a_recommendation_is_its_tenants_alone(store: Store) -> None:
    store.save_recommendation(SHOWN)
    assert store.recommendation("other", "r1") is None
    store.save_recommendation(shown(tenant="other", caption="theirs"))
    assert store.recommendation("acme", "r1") == SHOWN
    with pytest.raises(ConflictError, match="'r1'"):
        store.save_recommendation(SHOWN)


def test_posts_come_back_in_order(store: Store) -> None:
    posts = [post(post=f"p{n}", values=None if n % 2 else VALUES) for n in range(5)]
    posts[3] = post(post="p3", tenant="other", user=None, music=None, place=None, hashtags=[])
    numbers = [store.save_post(p) for p in posts]
    assert numbers == sorted(set(numbers))
    assert list(store.posts()) == list(zip(numbers, posts, strict=True))
    assert [n for n, _ in store.posts(after=numbers[1])] == numbers[2:]
    assert [p.post for _, p in store.posts(tenant="acme")] == ["p0", "p1", "p2", "p4"]
    assert_same_values(next(store.posts())[1].values, VALUES)
    assert store.post("acme", "p4") == posts[4]
    assert store.post("other", "p4") is None


def test_posts_are_read_in_blocks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reeltag.serving.store.store.BLOCK", 3)
    for size in (0, 1, 2, 3, 4, 6, 7):
        while store.count("posts") < size:
            store.save_post(post(post=f"p{store.count('posts')}"))
        assert [p.post for _, p in store.posts()] == [f"p{n}" for n in range(size)]
    reader = store.posts()
    next(reader)
    store.save_post(post(post="late"))  # stored while others read
    assert [p.post for _, p in reader][-1] == "late"


def test_the_same_post_again_is_none(store: Store, clock: Clock) -> None:
    assert store.save_post(POST) is not None
    clock.now += 100
    # A time that was left out is another at the next try; features may be extracted anew.
    again = post(at=POST.at + 100, values={"textual-test": np.ones(6, np.float32)})
    assert store.save_post(again) is None
    [(_, kept)] = store.posts()
    assert kept == POST
    assert_same_values(kept.values, VALUES)


@pytest.mark.parametrize(
    "change",
    [{"user": "bob"}, {"user": None}, {"caption": "x"}, {"hashtags": ["sea"]}, {"music": None},
     {"place": "Bonn"}, {"recommendation": None}],
    ids=str,
)  # fmt: skip
def test_another_post_of_the_same_id_is_a_conflict(store: Store, change: dict[str, object]) -> None:
    store.save_post(POST)
    with pytest.raises(ConflictError, match=f"'p1'.*{next(iter(change))}"):
        store.save_post(post(**change))
    assert [kept for _, kept in store.posts()] == [POST]
    assert store.save_post(post(tenant="other", **change)) is not None


def test_a_number_is_never_used_again(store: Store) -> None:
    first = store.save_post(POST)
    store.erase_user("acme", "ann")
    second = store.save_post(POST)
    assert first is not None
    assert second is not None
    assert second > first


def test_a_user_history(store: Store) -> None:
    assert store.user("acme", "ann") == UserHistory(0, None, None, {})
    for n, tags in enumerate([["b", "a"], ["b"], [], ["c", "Z"]]):
        store.save_post(post(post=f"p{n}", at=100 + n, hashtags=tags))
    store.save_post(post(post="p9", user="bob"))
    store.save_post(post(tenant="other"))
    history = store.user("acme", "ann")
    assert history == UserHistory(4, 100, 103, {"b": 2, "Z": 1, "a": 1, "c": 1})
    assert list(history.hashtags) == ["b", "Z", "a", "c"]


def test_pruning_takes_the_old(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reeltag.serving.store.store.BLOCK", 2)
    start = clock.now
    for n in range(7):
        clock.now = start + n
        store.save_recommendation(shown(id=f"r{n}", tenant=f"t{n % 2}", at=0))
        store.save_failure("acme", 0, "decode", "an endless clip")
    store.save_post(post(recommendation="r0"))
    assert store.prune(start + 5) == 10
    assert store.count("recommendations") == store.count("failures") == 2
    assert store.recommendation("t1", "r5") is not None
    assert store.prune(start + 5) == 0
    assert store.count("posts") == 1


def test_the_store_is_there_when_opened_again(url: str) -> None:
    store = Store.open(url)
    store.save_post(POST)
    plain = store.add_key("acme", {"read"})
    stone = store.tombstone("acme", "ann")
    store.close()
    store = Store.open(url)
    assert [kept for _, kept in store.posts()] == [POST]
    assert store.key(plain) is not None
    assert store.tombstone("acme", "ann") == stone
    store.close()


@pytest.mark.parametrize("tenant", ["", "Acme", "a b", "x" * 41, "a\n", "ä"])
def test_a_tenant_has_a_plain_name(store: Store, tenant: str) -> None:
    for call in (
        lambda: store.save_post(post(tenant=tenant)),
        lambda: store.save_recommendation(shown(tenant=tenant)),
        lambda: store.recommendation(tenant, "r1"),
        lambda: store.user(tenant, "ann"),
        lambda: store.erase_user(tenant, "ann"),
        lambda: store.add_key(tenant, {"read"}),
    ):
        with pytest.raises(InputError, match="tenant"):
            call()


@pytest.mark.parametrize("at", [2**63, -(2**63) - 1])
def test_a_time_fits(store: Store, at: int) -> None:
    with pytest.raises(InputError, match="seconds since 1970"):
        store.save_post(post(at=at))
    with pytest.raises(InputError, match="seconds since 1970"):
        store.save_failure("acme", at, "decode", "an endless clip")
    store.save_post(post(at=2**63 - 1))


def test_a_sqlite_store_is_its_owners_alone(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/it.sqlite")
    store.save_post(POST)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("it.sqlite*")} == {0o600}
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["it.sqlite"]


def test_a_run_has_its_store_beside_it(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("format = 1\n")
    assert store_url(tmp_path) == f"sqlite:///{tmp_path}/serving.sqlite"
    assert store_url("sqlite:///x.sqlite") == "sqlite:///x.sqlite"


def test_users_are_found_by_how_their_ids_begin(store: Store) -> None:
    owners = ("ann", "anna", "anna", "Ann", "a%n", None)
    for number, user in enumerate(owners):
        store.save_post(replace(POST, post=str(number), user=user))
    assert store.users("acme", "an", 9) == {"anna": 2, "ann": 1}
    assert store.users("acme", "a%", 9) == {"a%n": 1}
    assert list(store.users("acme", "", 2)) == ["anna", "Ann"]
    assert store.users("other", "", 9) == {}
