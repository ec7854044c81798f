"""Indexes to read a checkpoint's embeddings in order of cases, and the cases of changes."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create an index and add the case to another."""
    op.create_index("ix_embeddings_checkpoint_case", "embeddings", ["checkpoint", "case"])
    _renew_changes(["checkpoint", "change", "case"])


def downgrade() -> None:
    """Revert `upgrade`."""
    _renew_changes(["checkpoint", "change"])
    op.drop_index("ix_embeddings_checkpoint_case", "embeddings")


def _renew_changes(columns: list[str]) -> None:
    op.drop_index("ix_embeddings_checkpoint_change", "embeddings")
    op.create_index("ix_embeddings_checkpoint_change", "embeddings", columns)
