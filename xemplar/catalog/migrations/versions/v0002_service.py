"""Tables of a running service: findings for filters, removals, jobs, ratings, keys, audit."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# A released migration never changes, so it repeats the types instead of importing them.
_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_time = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables and derive the findings from the labels."""
    op.create_table(
        "case_findings",
        sa.Column("case", _number, nullable=False, autoincrement=False),
        sa.Column("finding", sa.String(100), nullable=False),
        sa.ForeignKeyConstraint(
            ["case"], ["cases.id"], name="fk_case_findings_case", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("case", "finding", name="pk_case_findings"),
    )
    op.create_index("ix_case_findings_finding", "case_findings", ["finding"])
    op.create_table(
        "removals",
        sa.Column("case", _number, nullable=False, autoincrement=False),
        sa.Column("removed_at", _time, nullable=False),
        sa.Column("image_sha256", sa.String(64)),
        sa.Column("change", _number, nullable=False),
        sa.PrimaryKeyConstraint("case", name="pk_removals"),
    )
    op.create_index("ix_removals_change", "removals", ["change"])
    last_change = op.create_table(
        "last_change",
        sa.Column("number", _number, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("number", name="pk_last_change"),
    )
    op.bulk_insert(last_change, [{"number": 0}])
    op.add_column("embeddings", sa.Column("change", _number, nullable=False, server_default="0"))
    op.create_index("ix_embeddings_checkpoint_change", "embeddings", ["checkpoint", "change"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("done", _number, nullable=False),
        sa.Column("total", _number),
        sa.Column("log", sa.JSON, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.String),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("cancel", sa.Boolean, nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("lease_until", _time),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("started_at", _time),
        sa.Column("finished_at", _time),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_table(
        "ratings",
        sa.Column("film_id", sa.String(16), nullable=False),
        sa.Column("rater", sa.String(32), nullable=False),
        sa.Column("case", _number, nullable=False, autoincrement=False),
        sa.Column("rating", sa.Integer, nullable=False),
        sa.Column("rated_at", _time, nullable=False),
        sa.ForeignKeyConstraint(["case"], ["cases.id"], name="fk_ratings_case", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("film_id", "rater", "case", name="pk_ratings"),
    )
    op.create_index("ix_ratings_case", "ratings", ["case"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", _time, nullable=False),
        sa.Column("revoked_at", _time),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
    )
    op.create_table(
        "audit",
        sa.Column("id", _number, nullable=False),
        sa.Column("at", _time, nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("key", sa.String(16)),
        sa.Column("role", sa.String(16)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(64)),
        sa.Column("image_sha256", sa.String(64)),
        sa.Column("generation", sa.String(64)),
        sa.Column("results", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    _fill_findings()


def _fill_findings() -> None:
    connection = op.get_bind()
    findings = sa.table("case_findings", sa.column("case"), sa.column("finding"))
    for number, labels in connection.execute(sa.text("SELECT id, labels FROM cases")).all():
        known = json.loads(labels) if isinstance(labels, str) else labels
        absent = bool(known) and all(v == 0 for f, v in known.items() if f != "No Finding")
        present = [f for f, v in known.items() if v == 1 and f != "No Finding"]
        if present or absent:
            rows = [{"case": number, "finding": finding} for finding in present or ["No Finding"]]
            connection.execute(findings.insert(), rows)


def downgrade() -> None:
    """Revert `upgrade`."""
    op.drop_index("ix_embeddings_checkpoint_change", "embeddings")
    op.drop_column("embeddings", "change")
    dropped = ("audit", "api_keys", "ratings", "jobs", "last_change", "removals", "case_findings")
    for table in dropped:
        op.drop_table(table)
