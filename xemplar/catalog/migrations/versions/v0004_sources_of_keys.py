"""Sources, expiry and last use of API keys; counted patient changes."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the columns and the table; existing keys see all sources and never expire."""
    op.add_column("api_keys", sa.Column("sources", sa.JSON))
    op.add_column("api_keys", sa.Column("expires_at", _time))
    op.add_column("api_keys", sa.Column("last_used_at", _time))
    op.add_column("removals", sa.Column("source", sa.String))
    op.create_index("ix_cases_source", "cases", ["source"])
    op.create_table(
        "patient_changes",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("case_id", sa.String(16), nullable=False),
        sa.Column("writer", sa.String(16)),
        sa.Column("at", _time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_patient_changes"),
    )
    for column in ("case_id", "writer", "at"):
        op.create_index(f"ix_patient_changes_{column}", "patient_changes", [column])


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_table("patient_changes")
    op.drop_index("ix_cases_source", "cases")
    op.drop_column("removals", "source")
    for column in ("last_used_at", "expires_at", "sources"):
        op.drop_column("api_keys", column)
