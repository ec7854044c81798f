"""Tables that services of one database share: remembered queries, and rates of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the tables; in PostgreSQL outside the write-ahead log.

    So no copy of the log, and no standby, holds a query, and none costs its size twice. A server
    that crashed empties both tables.
    """
    postgres = op.get_bind().dialect.name == "postgresql"
    prefixes = ["UNLOGGED"] if postgres else []
    op.create_table(
        "remembered_queries",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("image_id", sa.String(16), nullable=False, index=True),
        sa.Column("key", sa.String(16)),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        prefixes=prefixes,
    )
    op.create_table(
        "request_rates",
        sa.Column("caller", sa.String(80), primary_key=True),
        sa.Column("tokens", sa.Double, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("full_at", sa.Double, nullable=False),
        prefixes=prefixes,
    )
    if postgres:  # what is sealed cannot be compressed
        op.execute("ALTER TABLE remembered_queries ALTER COLUMN content SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_table("request_rates")
    op.drop_table("remembered_queries")
