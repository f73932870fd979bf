"""The stored rows of a stretch of time in, what `/dashboard` shows out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, case, func, select

from reeltag.serving.store.tables import FAILURES, POSTS, RECOMMENDATIONS

RANKS = (1, 5, 10)
"""Acceptance is told of the first so many hashtags."""
TRENDS = NEWEST = 20
"""How many trending hashtags, and how many of the newest failures, are told."""


@dataclass(frozen=True)
class Trend:
    """A hashtag's uses in the stretch of time, and in the one as long before it."""

    hashtag: str
    uses: int
    before: int


@dataclass(frozen=True)
class Failure:
    """Something that went wrong, at `at` seconds since 1970."""

    tenant: str
    at: int
    stage: str
    reason: str


@dataclass(frozen=True)
class Stats:
    """What happened from `since` to `until`, in seconds since 1970, by the store's clock."""

    since: int
    until: int
    recommendations: int
    posts: int
    minutes: list[tuple[int, int]]
    """Start of each minute that has any, and its recommendations, in order."""
    judged: int
    """Published posts whose recommendation is known."""
    accepted: dict[int, float | None]
    """Of these, at 1, 5 and 10: the share that used one of the first so many hashtags; None: none
    were judged."""
    trending: list[Trend]
    """Hashtags whose uses grew most, first."""
    failures: list[Failure]
    """The newest first."""


def stats(
    connection: Connection, since: int, until: int, tenant: str | None, embedded: bool
) -> Stats:
    """What happened in [since, until), of one tenant or of all."""
    minute = (RECOMMENDATIONS.c.stored // 60).label("minute")
    minutes = connection.execute(
        select(minute, func.count())
        .where(*_during(RECOMMENDATIONS, since, until, tenant))
        .group_by(minute)
        .order_by(minute)
    ).all()
    posts, judged = connection.execute(
        select(func.count(), func.count(POSTS.c.accepted)).where(
            *_during(POSTS, since, until, tenant)
        )
    ).one()
    accepted = connection.execute(
        select(
            *(func.sum(case((POSTS.c.accepted.between(1, k), 1), else_=0)) for k in RANKS)
        ).where(*_during(POSTS, since, until, tenant))
    ).one()
    failures = connection.execute(
        select(FAILURES)
        .where(*_during(FAILURES, since, until, tenant))
        .order_by(FAILURES.c.number.desc())
        .limit(NEWEST)
    )
    return Stats(
        since=since,
        until=until,
        recommendations=sum(count for _, count in minutes),
        posts=posts,
        minutes=[(60 * start, count) for start, count in minutes],
        judged=judged,
        accepted={
            k: int(count) / judged if judged else None
            for k, count in zip(RANKS, accepted, strict=True)
        },
        trending=_trending(connection, since, until, tenant, embedded),
        failures=[Failure(row.tenant, row.at, row.stage, row.reason) for row in failures],
    )


def hashtags_of(embedded: bool) -> Any:
    """The hashtags of posts as a table of rows, one in each, with the column `value`."""
    unfold = func.json_each if embedded else func.json_array_elements_text
    return unfold(POSTS.c.hashtags).table_valued("value", joins_implicitly=True)


def bytewise(text: ColumnElement[str], embedded: bool) -> ColumnElement[str]:
    """`text` to order by: the same order in every database."""
    return text.collate("BINARY" if embedded else "C")


def _trending(
    connection: Connection, since: int, until: int, tenant: str | None, embedded: bool
) -> list[Trend]:
    tag = hashtags_of(embedded).c.value
    now = func.sum(case((POSTS.c.stored >= since, 1), else_=0))
    before = func.count() - now
    rows = connection.execute(
        select(tag, now, before)
        .select_from(POSTS, tag.table)
        .where(*_during(POSTS, 2 * since - until, until, tenant))
        .group_by(tag)
        .having(now > before)
        .order_by((now - before).desc(), now.desc(), bytewise(tag, embedded))
        .limit(TRENDS)
    )
    return [Trend(hashtag, int(uses), int(earlier)) for hashtag, uses, earlier in rows]


def _during(
    table: Table, since: int, until: int, tenant: str | None
) -> tuple[ColumnElement[bool], ...]:
    when = (table.c.stored >= since, table.c.stored < until)
    return when if tenant is None else (*when, table.c.tenant == tenant)
