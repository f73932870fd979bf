"""Records in, rows of the tables out, and back; and the conditions that find them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, select

from reeltag.serving.store.records import (
    ID_CHARS,
    Published,
    Shown,
    check_tenant,
    check_text,
    check_user,
)
from reeltag.serving.store.tables import POSTS, RECOMMENDATIONS
from reeltag.serving.store.values import pack, unpack

SAID = ("user", "caption", "hashtags", "music", "place", "recommendation")
"""What a publisher says of a post: the columns that may not differ when it is sent again."""


def row_of_post(post: Published, now: int) -> dict[str, Any]:
    """The row of a post stored `now`, but for its number and what it accepted."""
    return {
        **_common(post, now),
        "post": post.post,
        "hashtags": list(post.hashtags),
        "recommendation": post.recommendation,
    }


def row_of_shown(shown: Shown, now: int) -> dict[str, Any]:
    """The row of a recommendation stored `now`."""
    return {
        **_common(shown, now),
        "id": shown.id,
        "run": shown.run,
        "hashtags": [(hashtag, float(score)) for hashtag, score in shown.hashtags],
    }


def post_of_row(row: Row[Any]) -> Published:
    """The post that a row keeps."""
    return Published(
        tenant=row.tenant,
        post=row.post,
        user=row.user,
        at=row.at,
        caption=row.caption,
        hashtags=row.hashtags,
        values=unpack(row.features),
        music=row.music,
        place=row.place,
        recommendation=row.recommendation,
    )


def shown_of_row(row: Row[Any]) -> Shown:
    """The recommendation that a row keeps."""
    return Shown(
        id=row.id,
        tenant=row.tenant,
        user=row.user,
        at=row.at,
        hashtags=[(hashtag, score) for hashtag, score in row.hashtags],
        run=row.run,
        values=unpack(row.features),
        caption=row.caption,
        music=row.music,
        place=row.place,
    )


def of_id(table: Table, tenant: str, id: str) -> tuple[ColumnElement[bool], ...]:
    """Where a tenant's post or recommendation stands. Raises `InputError` for impossible ids."""
    check_tenant(tenant)
    check_text("an id", id, ID_CHARS)
    column = table.c.post if table is POSTS else table.c.id
    return table.c.tenant == tenant, column == id


def of_user(table: Table, tenant: str, user: str) -> tuple[ColumnElement[bool], ...]:
    """Where a user's rows stand. Raises `InputError` for impossible users."""
    check_user(tenant, user)
    return table.c.tenant == tenant, table.c.user == user


def best_used(connection: Connection, post: Published) -> int | None:
    """Rank of the best recommended hashtag that `post` uses.

    0: it uses none of them; None: its recommendation is not known.
    """
    if post.recommendation is None:
        return None
    place = of_id(RECOMMENDATIONS, post.tenant, post.recommendation)
    shown = connection.execute(select(RECOMMENDATIONS.c.hashtags).where(*place)).one_or_none()
    if shown is None:
        return None
    used = set(post.hashtags)
    return next((rank for rank, (tag, _) in enumerate(shown.hashtags, 1) if tag in used), 0)


def _common(record: Shown | Published, now: int) -> dict[str, Any]:
    names = ("tenant", "user", "at", "caption", "music", "place")
    row = {name: getattr(record, name) for name in names}
    return {**row, "stored": now, "features": pack(record.values)}
