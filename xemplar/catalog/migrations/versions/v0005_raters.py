"""Pseudonyms belong to API keys, and superseded ratings are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables; the owners of existing pseudonyms are unknown."""
    op.create_table(
        "raters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("key", sa.String(16)),
        sa.PrimaryKeyConstraint("name", name="pk_raters"),
    )
    op.create_index("ix_raters_key", "raters", ["key"])
    op.execute("INSERT INTO raters (name) SELECT DISTINCT rater FROM ratings")
    op.create_index("ix_ratings_rater", "ratings", ["rater"])
    op.create_table(
        "unknown_images",
        sa.Column("image_id", sa.String(16), nullable=False),
        sa.Column("rater", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "rater", name="pk_unknown_images"),
    )
    op.create_index("ix_unknown_images_rater", "unknown_images", ["rater"])
    op.create_table(
        "earlier_ratings",
        sa.Column("id", _number, nullable=False),
        sa.Column("image_id", sa.String(16), nullable=False),
        sa.Column("rater", sa.String(32), nullable=False),
        sa.Column("case", _number, nullable=False),
        sa.Column("rating", sa.Integer, nullable=False),
        sa.Column("rated_at", _time, nullable=False),
        sa.Column("superseded_at", _time, nullable=False),
        sa.ForeignKeyConstraint(
            ["case"], ["cases.id"], name="fk_earlier_ratings_case", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_earlier_ratings"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_earlier_ratings_image_id", "earlier_ratings", ["image_id"])
    op.create_index("ix_earlier_ratings_rater_image_id", "earlier_ratings", ["rater", "image_id"])
    op.create_index("ix_earlier_ratings_case", "earlier_ratings", ["case"])


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_index("ix_ratings_rater", "ratings")
    for table in ("earlier_ratings", "unknown_images", "raters"):
        op.drop_table(table)
