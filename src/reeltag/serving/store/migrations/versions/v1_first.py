"""Revision 1: posts, recommendations, failures, tombstones, keys and the tombstones' secret."""

from __future__ import annotations

from secrets import token_bytes

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table; draw the secret of this store's tombstones."""
    op.create_table(
        "posts",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("post", sa.Text(), nullable=False),
        sa.Column("user", sa.Text()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("hashtags", sa.JSON(), nullable=False),
        sa.Column("features", sa.LargeBinary()),
        sa.Column("music", sa.Text()),
        sa.Column("place", sa.Text()),
        sa.Column("recommendation", sa.Text()),
        sa.Column("accepted", sa.Integer()),
        sa.UniqueConstraint("tenant", "post", name="posts_by_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recommendations",
        sa.Column("tenant", sa.String(40), primary_key=True),
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("user", sa.Text()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("hashtags", sa.JSON(), nullable=False),
        sa.Column("features", sa.LargeBinary()),
        sa.Column("caption", sa.Text(), nullable=False),
        sa.Column("music", sa.Text()),
        sa.Column("place", sa.Text()),
    )
    op.create_table(
        "failures",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("user", sa.Text()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("posts_by_tenant", "posts", ["tenant", "number"])
    for table in ("posts", "recommendations", "failures"):
        op.create_index(f"{table}_by_user", table, ["tenant", "user"])
        op.create_index(f"{table}_by_stored", table, ["stored"])
    op.create_table(
        "tombstones",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("stored", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("tenant", sa.String(40), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.BigInteger()),
    )
    secrets = op.create_table(
        "secrets",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("value", sa.LargeBinary(), nullable=False),
    )
    op.bulk_insert(secrets, [{"name": "tombstones", "value": token_bytes(32)}])


def downgrade() -> None:
    """Remove every table, with all that is in it."""
    for table in ("secrets", "keys", "tombstones", "failures", "recommendations", "posts"):
        op.drop_table(table)
