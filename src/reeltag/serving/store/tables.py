"""The store's tables, as the newest migration leaves them.

`stored` is the store's own clock, in seconds since 1970, while `at` is what the publisher says:
only the former decides what is new or old.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""Of rows that are counted: SQLite counts its INTEGER keys alone."""

POSTS = Table(
    "posts",
    METADATA,
    Column("number", NUMBER, primary_key=True),
    Column("tenant", String(40), nullable=False),
    Column("post", Text, nullable=False),
    Column("user", Text),
    Column("at", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("caption", Text, nullable=False),
    Column("hashtags", JSON, nullable=False),
    Column("features", LargeBinary),
    Column("music", Text),
    Column("place", Text),
    Column("recommendation", Text),
    Column("accepted", Integer),  # rank of the best recommended hashtag used; 0: none was
    UniqueConstraint("tenant", "post", name="posts_by_name"),
    Index("posts_by_tenant", "tenant", "number"),
    Index("posts_by_user", "tenant", "user"),
    Index("posts_by_stored", "stored"),
    sqlite_autoincrement=True,  # a number is never used again, not even the last one's
)

RECOMMENDATIONS = Table(
    "recommendations",
    METADATA,
    Column("tenant", String(40), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("user", Text),
    Column("at", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("run", Text, nullable=False),
    Column("hashtags", JSON, nullable=False),
    Column("features", LargeBinary),
    Column("caption", Text, nullable=False),
    Column("music", Text),
    Column("place", Text),
    Index("recommendations_by_user", "tenant", "user"),
    Index("recommendations_by_stored", "stored"),
)

FAILURES = Table(
    "failures",
    METADATA,
    Column("number", NUMBER, primary_key=True),
    Column("tenant", String(40), nullable=False),
    Column("user", Text),
    Column("at", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("failures_by_user", "tenant", "user"),
    Index("failures_by_stored", "stored"),
    sqlite_autoincrement=True,
)

TOMBSTONES = Table(
    "tombstones",
    METADATA,
    Column("hash", LargeBinary, primary_key=True),
    Column("stored", BigInteger, nullable=False),
)

KEYS = Table(
    "keys",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("tenant", String(40), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)

SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
