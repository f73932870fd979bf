"""What enters and leaves the store, and what it refuses because no database can keep it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from numpy.typing import NDArray

from reeltag.errors import InputError

Values = Mapping[str, NDArray[Any] | None]
"""Features of one post by name; None: the modality is missing."""

ID_CHARS = 256
"""Longest id of a user, post or recommendation, in characters: ids stand in indexes."""
_TENANT = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True)
class Shown:
    """A recommendation as it was answered, kept so that its post needs no clip again."""

    id: str
    tenant: str
    user: str | None
    at: int
    """When the post is published, in seconds since 1970."""
    hashtags: list[tuple[str, float]]
    """Names and scores, best first."""
    run: str
    """Which run answered."""
    values: Values | None = field(default=None, compare=False)
    caption: str = ""
    music: str | None = None
    place: str | None = None


@dataclass(frozen=True)
class Published:
    """A post as it was published; its `caption` has no hashtags in it."""

    tenant: str
    post: str
    user: str | None
    at: int
    """Seconds since 1970."""
    caption: str
    hashtags: list[str]
    values: Values | None = field(default=None, compare=False)
    music: str | None = None
    place: str | None = None
    recommendation: str | None = None


@dataclass(frozen=True)
class UserHistory:
    """What is known of one user: times in seconds since 1970, hashtags by uses, most first."""

    posts: int
    first: int | None
    last: int | None
    hashtags: dict[str, int]


def check_tenant(tenant: str) -> None:
    """Raises `InputError` for what is no tenant's name."""
    if not _TENANT.fullmatch(tenant):
        raise InputError(
            f"Got tenant {tenant!r}, expected 1 to 40 of the characters a-z, 0-9 and '-'."
        )


def check_time(at: int) -> None:
    """Raises `InputError` for a time that 64 bits cannot hold."""
    if not -(2**63) <= at < 2**63:
        raise InputError(f"Got time {at}, expected seconds since 1970.")


def check_text(what: str, text: str | None, most: int | None = None) -> None:
    """Raises `InputError` where `text` has more than `most` characters or cannot be stored.

    That is: NUL characters, which PostgreSQL has no place for, and halves of surrogate pairs,
    which are no characters. Nothing is dropped silently: what is read back is what was given.
    """
    if text is None:
        return
    if most is not None and not 0 < len(text) <= most:
        raise InputError(f"Got {what} of {len(text)} characters, expected 1 to {most}.")
    if "\0" in text:
        raise InputError(f"Got {what} with a NUL character, expected text without.")
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise InputError(
            f"Got {what} with half a surrogate pair at character {fault.start + 1}, "
            "expected valid Unicode."
        ) from None


def check_post(post: Published) -> None:
    """Raises `InputError` where a published post holds what cannot be stored."""
    check_text("a post's id", post.post, ID_CHARS)
    check_text("a recommendation's id", post.recommendation, ID_CHARS)
    for tag in post.hashtags:
        check_text("a hashtag", tag)
    _check_common(post)


def check_shown(shown: Shown) -> None:
    """Raises `InputError` where a recommendation holds what cannot be stored."""
    check_text("a recommendation's id", shown.id, ID_CHARS)
    check_text("a run", shown.run)
    for tag, score in shown.hashtags:
        check_text("a hashtag", tag)
        if not isfinite(score):
            raise InputError(f"Got score {score} of a hashtag, expected a finite number.")
    _check_common(shown)


def check_user(tenant: str, user: str | None) -> None:
    """Raises `InputError` where there can be no such user of such a tenant."""
    check_tenant(tenant)
    check_text("a user", user, ID_CHARS)


def _check_common(record: Published | Shown) -> None:
    check_user(record.tenant, record.user)
    for what in ("caption", "music", "place"):
        check_text(f"a {what}", getattr(record, what))
    check_time(record.at)
