"""Any text comes back as it was given, or is refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reeltag.errors import InputError
from reeltag.serving.store import Store, check_text
from reeltag.serving.store.records import ID_CHARS
from tests.serving.store.posts import post, shown

NUMBERS = count()
ODD = [
    "\0",
    "a\0b",
    "\ud800",
    "x\udfff",
    "\U0010ffff",
    "\ufffe",
    "\u202e",
    "e\u0301",
    "é",
    "'",
    '"',
]
ODD += ["%s", ":user", "\\", "\\u0000", "\r\n", "\x1b", "🏳️‍🌈", "NULL", " ", "\x7f\x80", "{}[]", "#"]
TEXT = st.text(st.characters(exclude_categories=[]), max_size=60) | st.sampled_from(ODD)
ID = TEXT.filter(bool)


@pytest.fixture(scope="module")
def opened(new_url: Callable[[], str]) -> Iterator[Store]:
    """One store for all examples."""
    store = Store.open(new_url())
    yield store
    store.close()


def storable(*texts: str) -> bool:
    """By a rule written anew: no NUL, and UTF-8 can hold it."""
    return all(0 not in text.encode("utf-8", "replace") for text in texts) and not any(
        0xD800 <= ord(character) < 0xE000 for text in texts for character in text
    )


@settings(max_examples=60)
@example(user="a\0", caption="", tags=[])
@example(user="a", caption="\ud83d", tags=[])
@example(user="a", caption="", tags=["\ud83d", "\ude00"])
@given(user=ID, caption=TEXT, tags=st.lists(TEXT, max_size=4, unique=True))
def test_any_post_comes_back_or_is_refused(
    opened: Store, user: str, caption: str, tags: list[str]
) -> None:
    name, before = f"{next(NUMBERS)} {user}", opened.count("posts")
    given_post = post(
        post=name, user=user, caption=caption, hashtags=tags, music=caption, recommendation=name
    )
    given_shown = shown(id=name, user=user, caption=caption, hashtags=[(t, 0.5) for t in tags])
    if not storable(user, caption, *tags):
        with pytest.raises(InputError, match=r"NUL|surrogate"):
            opened.save_post(given_post)
        with pytest.raises(InputError, match=r"NUL|surrogate"):
            opened.save_recommendation(given_shown)
        assert opened.count("posts") == before
        return
    opened.save_recommendation(given_shown)
    number = opened.save_post(given_post)
    assert number is not None
    assert next(opened.posts(after=number - 1)) == (number, given_post)
    assert opened.post("acme", name) == given_post
    assert opened.recommendation("acme", name) == given_shown
    history = opened.user("acme", user)
    assert set(tags) <= set(history.hashtags)
    assert history.posts == sum(p.user == user for _, p in opened.posts())
    assert opened.save_post(given_post) is None


@settings(max_examples=30)
@given(user=ID, other=ID)
def test_any_user_can_be_erased_alone(opened: Store, user: str, other: str) -> None:
    if not storable(user, other):
        return
    names = [f"{next(NUMBERS)}" for _ in range(2)]
    for name, who in zip(names, (user, other), strict=True):
        opened.save_post(post(tenant="erased", post=name, user=who))
    opened.erase_user("erased", user)
    assert opened.erased("erased", user)
    assert opened.post("erased", names[0]) is None
    assert (opened.post("erased", names[1]) is None) == (user == other)


@settings(max_examples=30)
@given(name=ID)
def test_any_lookup_answers(opened: Store, name: str) -> None:
    if storable(name):
        assert opened.user("none", name).posts == 0
        assert opened.recommendation("none", name) is None
    else:
        for call in (opened.user, opened.recommendation, opened.post, opened.erased):
            with pytest.raises(InputError):
                call("none", name)
    assert opened.key(name) is None


@pytest.mark.parametrize("character", ["x", "é", "🏳"])
def test_ids_are_of_a_length_that_indexes_take(store: Store, character: str) -> None:
    longest = ID_CHARS * character
    whole = post(post=longest, user=longest, recommendation=longest)
    store.save_recommendation(shown(id=longest, user=longest))
    assert store.save_post(whole) is not None
    assert store.user("acme", longest).posts == 1
    for change in ("post", "user", "recommendation"):
        for wrong in (longest + character, ""):
            with pytest.raises(InputError, match=f"of {len(wrong)} characters, expected 1 to 256"):
                store.save_post(post(**{change: wrong}))


def test_long_texts_are_kept(store: Store) -> None:
    whole = post(caption="ä🏳" * 1_000_000, hashtags=["x" * 100_000, "y"])
    store.save_post(whole)
    assert store.post("acme", "p1") == whole


def test_what_is_refused_is_said() -> None:
    check_text("a caption", None)
    check_text("a caption", "")
    with pytest.raises(InputError, match="a caption with a NUL"):
        check_text("a caption", "\0")
    with pytest.raises(InputError, match="a caption with half a surrogate pair at character 3"):
        check_text("a caption", "ab\ud800")


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_are_numbers(store: Store, score: float) -> None:
    with pytest.raises(InputError, match="score"):
        store.save_recommendation(shown(hashtags=[("sea", score)]))
