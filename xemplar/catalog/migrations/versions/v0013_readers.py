"""Tables of reader studies: their plans, and what the readers said."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "reader_studies",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "readings",
        sa.Column(
            "study",
            sa.String(16),
            sa.ForeignKey("reader_studies.id", ondelete="CASCADE", name="fk_readings_study"),
            primary_key=True,
        ),
        sa.Column("reader", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("confidence", sa.Integer, nullable=False),
        sa.Column("trust", sa.Integer),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_table("readings")
    op.drop_table("reader_studies")
