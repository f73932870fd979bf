"""Recommendations and published posts in, the same back in order; and nothing of those erased."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Literal

from sqlalchemy import Connection, Table, delete, func, insert, select

from reeltag.errors import ConflictError, InputError
from reeltag.serving.store import keys
from reeltag.serving.store.database import Database
from reeltag.serving.store.keys import Key, Scope
from reeltag.serving.store.records import (
    Published,
    Shown,
    UserHistory,
    check_post,
    check_shown,
    check_text,
    check_time,
    check_user,
)
from reeltag.serving.store.rows import (
    SAID,
    best_used,
    of_id,
    of_user,
    post_of_row,
    row_of_post,
    row_of_shown,
    shown_of_row,
)
from reeltag.serving.store.statistics import Stats, bytewise, hashtags_of, stats
from reeltag.serving.store.tables import FAILURES, POSTS, RECOMMENDATIONS, SECRETS, TOMBSTONES

BLOCK = 500
"""Rows that are read, or pruned, in one transaction."""
Kind = Literal["posts", "recommendations", "failures"]
TABLES: dict[Kind, Table] = {
    "posts": POSTS,
    "recommendations": RECOMMENDATIONS,
    "failures": FAILURES,
}


class Store:
    """What the service remembers. Every method may be called from any thread.

    All of them raise `StoreError` where the database does not answer or refuses (a full disk),
    and `InputError` for text no database can keep (`check_text`) and for impossible tenants.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        with database.read() as connection:
            named = SECRETS.c.name == "tombstones"
            self._secret = bytes(connection.scalars(select(SECRETS.c.value).where(named)).one())

    @classmethod
    def open(cls, url: str, clock: Callable[[], float] = time.time) -> Store:
        """Open a store, make its tables, or bring those of an older version up to date.

        Args:
            url: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE.
            clock: seconds since 1970, of when things are stored.
        Raises `ConfigError` for another kind of URL.
        """
        database = Database(url)
        try:
            database.migrate()
            return cls(database, clock)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Give back all connections."""
        self._database.close()

    # Keys

    def add_key(self, tenant: str, scopes: Collection[Scope]) -> str:
        """A new key, `rt_<id>_<secret>`; it is shown this once, and only its hash is stored."""
        now = self._now()
        return self._database.write(lambda c: keys.add(c, tenant, scopes, now))

    def key(self, plain: str) -> Key | None:
        """What the key may do; None for one that is wrong or revoked."""
        with self._database.read() as connection:
            return keys.match(connection, plain)

    def keys(self) -> list[Key]:
        """All keys, revoked ones too, oldest first."""
        with self._database.read() as connection:
            return keys.every(connection)

    def revoke(self, key: str) -> None:
        """End a key by its id. Raises `InputError` where there is none."""
        now = self._now()
        self._database.write(lambda c: keys.revoke(c, key, now))

    # Recommendations

    def save_recommendation(self, shown: Shown) -> None:
        """Keep a recommendation and its features until it is pruned.

        Survives the end of this process; a power cut may take the last ones. Raises
        `ConflictError` where the id is taken.
        """
        check_shown(shown)
        row = row_of_shown(shown, self._now())
        taken = select(RECOMMENDATIONS.c.id).where(*of_id(RECOMMENDATIONS, shown.tenant, shown.id))

        def work(connection: Connection) -> None:
            if connection.scalar(taken) is not None:
                raise ConflictError(f"There is a recommendation {shown.id!r} already.")
            connection.execute(insert(RECOMMENDATIONS).values(row))

        self._database.write(work, durable=False)

    def save_recommendations(self, shown: Sequence[Shown]) -> None:
        """`save_recommendation`, of several at once, or of none; their ids must be new ones."""
        for each in shown:
            check_shown(each)
        now = self._now()
        rows = [row_of_shown(each, now) for each in shown]
        self._database.write(lambda c: c.execute(insert(RECOMMENDATIONS), rows), durable=False)

    def recommendation(self, tenant: str, id: str) -> Shown | None:
        """A tenant's recommendation, unless it was pruned, erased or never there."""
        query = select(RECOMMENDATIONS).where(*of_id(RECOMMENDATIONS, tenant, id))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else shown_of_row(row)

    def prune(self, older_than: int) -> int:
        """Remove recommendations and failures stored before a time; how many there were.

        Block by block, so that writers wait for none of them long.
        """
        return sum(self._prune(table, older_than) for table in (RECOMMENDATIONS, FAILURES))

    def _prune(self, table: Table, older_than: int) -> int:
        names = list(table.primary_key.columns)
        key = names[-1]  # ids are drawn at random: tenants do not share them
        old = select(key).where(table.c.stored < older_than).limit(BLOCK)
        query = delete(table).where(key.in_(old), table.c.stored < older_than)
        removed = 0
        while found := self._database.write(lambda c: c.execute(query).rowcount, durable=False):
            removed += found
        return removed

    # Posts

    def save_post(self, post: Published) -> int | None:
        """Store a published post; its number, which grows in the order of commits.

        Returns None where the tenant's post is stored already and says the same: user, caption,
        hashtags, music, place and recommendation. (A time that was left out is another at the
        next try, and features may have been read anew.) Raises `ConflictError` where it says
        something else. What is returned from is on the disk.
        """
        check_post(post)
        row = row_of_post(post, self._now())
        there = select(POSTS).where(*of_id(POSTS, post.tenant, post.post))

        def work(connection: Connection) -> int | None:
            before = connection.execute(there).one_or_none()
            if before is None:
                best = best_used(connection, post)
                new = insert(POSTS).values({**row, "accepted": best})
                return int(connection.execute(new.returning(POSTS.c.number)).scalar_one())
            differs = [name for name in SAID if getattr(before, name) != row[name]]
            if differs:
                raise ConflictError(
                    f"Post {post.post!r} is stored with other {' and '.join(differs)}. Expected "
                    "the same, or the id of a new post: what was published does not change."
                )
            return None

        return self._database.write(work)

    def post(self, tenant: str, post: str) -> Published | None:
        """A tenant's post by its id, if there is one."""
        query = select(POSTS).where(*of_id(POSTS, tenant, post))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else post_of_row(row)

    def posts(self, after: int = 0, tenant: str | None = None) -> Iterator[tuple[int, Published]]:
        """All posts with larger numbers, in order, read in blocks; none is ever skipped.

        Whatever is stored while this runs comes too, if it is stored before the end is reached.
        """
        query = select(POSTS).order_by(POSTS.c.number).limit(BLOCK)
        if tenant is not None:
            query = query.where(POSTS.c.tenant == tenant)
        while True:
            with self._database.read() as connection:
                rows = connection.execute(query.where(POSTS.c.number > after)).all()
            for row in rows:
                yield row.number, post_of_row(row)
            if len(rows) < BLOCK:
                return
            after = rows[-1].number

    # Users

    def user(self, tenant: str, user: str) -> UserHistory:
        """What is stored of a user; of an unknown one, nothing."""
        embedded = self._database.embedded
        tag, number = hashtags_of(embedded).c.value, func.count()
        theirs = of_user(POSTS, tenant, user)
        with self._database.read() as connection:
            posts, first, last = connection.execute(
                select(number, func.min(POSTS.c.at), func.max(POSTS.c.at)).where(*theirs)
            ).one()
            uses = connection.execute(
                select(tag, number.label("uses"))
                .select_from(POSTS, tag.table)
                .where(*theirs)
                .group_by(tag)
                .order_by(number.desc(), bytewise(tag, embedded))
            ).all()
        return UserHistory(posts, first, last, {row.value: row.uses for row in uses})

    def users(self, tenant: str, prefix: str, most: int) -> dict[str, int]:
        """A tenant's users whose ids begin so, with their stored posts, most first."""
        check_user(tenant, prefix or None)
        user, number = POSTS.c.user, func.count()
        query = (
            select(user, number.label("posts"))
            .where(POSTS.c.tenant == tenant, func.substr(user, 1, len(prefix)) == prefix)
            .group_by(user)
            .order_by(number.desc(), bytewise(user, self._database.embedded))
            .limit(most)
        )
        with self._database.read() as connection:
            return {row.user: row.posts for row in connection.execute(query)}

    def erase_user(self, tenant: str, user: str) -> int:
        """Remove all that is stored of a user; how many rows that were.

        Posts with their features, the recommendations these came from, others asked for by the
        user, and failures go. SQLite's file keeps no byte of them; PostgreSQL overwrites removed
        rows when it vacuums, and its own backups are its owner's. What stays is a tombstone, so
        that the run's training posts of the user are not used either; posts published later
        count as those of somebody new. After a `StoreError` it may be called again.
        """
        theirs = of_user(POSTS, tenant, user)
        came_from = RECOMMENDATIONS.c.id.in_(select(POSTS.c.recommendation).where(*theirs))
        removals = (
            delete(RECOMMENDATIONS).where(RECOMMENDATIONS.c.tenant == tenant, came_from),
            *(delete(table).where(*of_user(table, tenant, user)) for table in TABLES.values()),
        )
        stone, now = self.tombstone(tenant, user), self._now()

        def work(connection: Connection) -> int:
            removed = sum(connection.execute(removal).rowcount for removal in removals)
            if not connection.scalar(select(func.count()).where(TOMBSTONES.c.hash == stone)):
                connection.execute(insert(TOMBSTONES).values(hash=stone, stored=now))
            return removed

        removed = self._database.write(work)
        self._database.scrub()
        return removed

    def tombstone(self, tenant: str, user: str) -> bytes:
        """The hash that stands for an erased user: HMAC-SHA256 by this store's own secret."""
        check_user(tenant, user)
        return hmac.digest(self._secret, f"{tenant}\0{user}".encode(), "sha256")

    def erased(self, tenant: str, user: str) -> bool:
        """Whether the user was erased, ever."""
        query = select(func.count()).where(TOMBSTONES.c.hash == self.tombstone(tenant, user))
        with self._database.read() as connection:
            return bool(connection.scalar(query))

    def erased_hashes(self) -> frozenset[bytes]:
        """The tombstones of all erased users, to compare with `tombstone` of many."""
        with self._database.read() as connection:
            return frozenset(map(bytes, connection.scalars(select(TOMBSTONES.c.hash))))

    # Figures

    def save_failure(
        self, tenant: str, at: int, stage: str, reason: str, user: str | None = None
    ) -> None:
        """Note that something went wrong; of a user, so that erasing takes it along."""
        check_user(tenant, user)
        check_time(at)
        for text in (stage, reason):
            check_text("a failure", text)
        row = {"tenant": tenant, "user": user, "at": at, "stage": stage, "reason": reason}
        query = insert(FAILURES).values({**row, "stored": self._now()})
        self._database.write(lambda c: c.execute(query), durable=False)

    def count(self, kind: Kind, tenant: str | None = None, since: int = 0) -> int:
        """How many there are, of one tenant or all, stored since a time."""
        table = TABLES[kind]
        query = select(func.count()).select_from(table).where(table.c.stored >= since)
        if tenant is not None:
            query = query.where(table.c.tenant == tenant)
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)

    def stats(self, since: int, tenant: str | None = None) -> Stats:
        """What happened since a time, of one tenant or of all. Raises `InputError` for a future."""
        until = self._now() + 1
        if since >= until:
            raise InputError(f"Got since={since}, expected a time before now ({until - 1}).")
        with self._database.read() as connection:
            return stats(connection, since, until, tenant, self._database.embedded)

    def _now(self) -> int:
        return int(self._clock())
