"""Changes of metadata; indexes to read embeddings in order of cases, and the cases of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Number the changes of metadata, create an index and add the case to another."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("cases", sa.Column("change", number, nullable=False, server_default="0"))
    op.create_index("ix_cases_change", "cases", ["change"])
    op.create_index("ix_embeddings_checkpoint_case", "embeddings", ["checkpoint", "case"])
    _renew_changes(["checkpoint", "change", "case"])


def downgrade() -> None:
    """Revert `upgrade`."""
    _renew_changes(["checkpoint", "change"])
    op.drop_index("ix_embeddings_checkpoint_case", "embeddings")
    op.drop_index("ix_cases_change", "cases")
    op.drop_column("cases", "change")


def _renew_changes(columns: list[str]) -> None:
    op.drop_index("ix_embeddings_checkpoint_change", "embeddings")
    op.create_index("ix_embeddings_checkpoint_change", "embeddings", columns)
