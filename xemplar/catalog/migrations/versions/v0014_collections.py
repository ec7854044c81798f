"""Tables of readers' collections, and of the queries saved in them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "collections",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(16), index=True),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "saved_queries",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("image_id", sa.String(16), nullable=False, index=True),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "collection_entries",
        sa.Column(
            "collection",
            sa.String(16),
            sa.ForeignKey(
                "collections.id", ondelete="CASCADE", name="fk_collection_entries_collection"
            ),
            primary_key=True,
        ),
        sa.Column("subject", sa.String(16), primary_key=True),
        sa.Column(
            "case",
            NUMBER,
            sa.ForeignKey("cases.id", ondelete="CASCADE", name="fk_collection_entries_case"),
            index=True,
        ),
        sa.Column(
            "query",
            sa.String(16),
            sa.ForeignKey(
                "saved_queries.id", ondelete="CASCADE", name="fk_collection_entries_query"
            ),
            index=True,
        ),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_table("collection_entries")
    op.drop_table("saved_queries")
    op.drop_table("collections")
