"""An index of terms that keeps none of reports that were removed, in SQLite."""

from alembic import op

revision = "0015"
down_revision = "0014"

_ADDED = 'INSERT INTO report_terms (rowid, terms) VALUES (new."case", new.terms);'
_GONE = (
    "INSERT INTO report_terms (report_terms, rowid, terms) "
    "VALUES ('delete', old.\"case\", old.terms);"
)


def upgrade() -> None:
    """Merge the index once, and leave it alone where a report's terms stay the same."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("INSERT INTO report_terms (report_terms) VALUES ('optimize')")
        _on_update("WHEN new.terms IS NOT old.terms")


def downgrade() -> None:
    """Write the terms with each update again."""
    if op.get_bind().dialect.name == "sqlite":
        _on_update("")


def _on_update(condition: str) -> None:
    op.execute("DROP TRIGGER report_terms_update")
    op.execute(
        "CREATE TRIGGER report_terms_update AFTER UPDATE OF terms ON case_reports "
        f"{condition} BEGIN {_GONE} {_ADDED} END"
    )
