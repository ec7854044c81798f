"""When a case's image was taken among its patient's, and what it turned out to be."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "case_times",
        _case("case_times"),
        sa.Column("followup", sa.Integer),
        sa.Column("day", sa.Integer),
        sa.Column("shifted_day", sa.Integer),
    )
    op.create_table(
        "case_outcomes",
        _case("case_outcomes"),
        sa.Column("diagnosis", sa.String(40), primary_key=True),
        sa.Column("proof", sa.String(20), nullable=False),
        sa.Column("days", sa.Integer),
    )


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_table("case_outcomes")
    op.drop_table("case_times")


def _case(table: str) -> "sa.Column[int]":
    cases = sa.ForeignKey("cases.id", ondelete="CASCADE", name=f"fk_{table}_case")
    return sa.Column("case", NUMBER, cases, primary_key=True, autoincrement=False)
