"""Cases, their embeddings, and index generations."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# A released migration never changes, so it repeats the types instead of importing them.
_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "cases",
        sa.Column("id", _number, nullable=False),
        sa.Column("case_id", sa.String(16), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("file", sa.String),
        sa.Column("patient", sa.String(16)),
        sa.Column("view", sa.String),
        sa.Column("sex", sa.String(1)),
        sa.Column("age", sa.Integer),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("split", sa.String),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("spacing_row_mm", sa.Double),
        sa.Column("spacing_column_mm", sa.Double),
        sa.Column("photometric", sa.String),
        sa.Column("created_at", _time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sa.UniqueConstraint("case_id", name="uq_cases_case_id"),
        sa.UniqueConstraint("image_sha256", name="uq_cases_image_sha256"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_cases_patient", "cases", ["patient"])
    op.create_table(
        "embeddings",
        sa.Column("case", _number, nullable=False, autoincrement=False),
        sa.Column("checkpoint", sa.String(64), nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("logits", sa.LargeBinary, nullable=False),
        sa.Column("cams", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["case"], ["cases.id"], name="fk_embeddings_case", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("case", "checkpoint", name="pk_embeddings"),
    )
    op.create_table(
        "generations",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("checkpoint", sa.String(64), nullable=False),
        sa.Column("preprocessing", sa.String(64), nullable=False),
        sa.Column("count", _number, nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("published_at", _time),
        sa.PrimaryKeyConstraint("name", name="pk_generations"),
    )


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_table("generations")
    op.drop_table("embeddings")
    op.drop_table("cases")
