"""Renames the column of the rated image to match other tables."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Rename the column."""
    with op.batch_alter_table("ratings") as table:
        table.alter_column("film_id", new_column_name="image_id")


def downgrade() -> None:
    """Rename it back."""
    with op.batch_alter_table("ratings") as table:
        table.alter_column("image_id", new_column_name="film_id")
