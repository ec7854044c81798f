"""Reports of cases, scrubbed, and the index of their terms."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the table, and an index of terms of each database's own kind."""
    op.create_table(
        "case_reports",
        sa.Column(
            "case",
            NUMBER,
            sa.ForeignKey("cases.id", ondelete="CASCADE", name="fk_case_reports_case"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("findings", sa.Text, nullable=False),
        sa.Column("impression", sa.Text, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("mined", sa.Boolean, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE INDEX ix_case_reports_terms ON case_reports "
            "USING gin (to_tsvector('simple', terms))"
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE report_terms USING fts5(terms, content='case_reports', "
        "content_rowid='case', tokenize='ascii', detail='none', columnsize=0)"
    )
    # an index without content of its own is kept by triggers, which also see deletions in cascade
    added = 'INSERT INTO report_terms (rowid, terms) VALUES (new."case", new.terms);'
    gone = (
        "INSERT INTO report_terms (report_terms, rowid, terms) "
        "VALUES ('delete', old.\"case\", old.terms);"
    )
    for name, event, body in (
        ("insert", "INSERT", added),
        ("delete", "DELETE", gone),
        ("update", "UPDATE OF terms", gone + added),
    ):
        op.execute(
            f"CREATE TRIGGER report_terms_{name} AFTER {event} ON case_reports BEGIN {body} END"
        )


def downgrade() -> None:
    """Drop them."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE report_terms")
    op.drop_table("case_reports")
