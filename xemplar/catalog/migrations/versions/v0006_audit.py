"""Audit entries for several requests, with details of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns, and an index to find entries about an image when it is removed."""
    op.add_column("audit", sa.Column("count", sa.Integer, nullable=False, server_default="1"))
    op.add_column("audit", sa.Column("details", sa.JSON))
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_index("ix_audit_image_sha256", "audit", ["image_sha256"])


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_index("ix_audit_image_sha256", "audit")
    op.drop_index("ix_audit_subject", "audit")
    op.drop_column("audit", "details")
    op.drop_column("audit", "count")
