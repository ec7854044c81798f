"""Tables about a hospital's archive: references to studies, and what was fetched from it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "case_references",
        sa.Column(
            "case",
            NUMBER,
            sa.ForeignKey("cases.id", ondelete="CASCADE", name="fk_case_references_case"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table("fetched", sa.Column("digest", sa.String(32), primary_key=True))


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_table("fetched")
    op.drop_table("case_references")
