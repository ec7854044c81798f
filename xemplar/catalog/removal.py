"""Removes data about removed cases from other tables, in the same transaction."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from xemplar.catalog.reports import have_reports
from xemplar.catalog.rows import parts
from xemplar.catalog.tables import (
    AuditRow,
    CaseRow,
    EarlierRatingRow,
    RatingRow,
    RememberedQueryRow,
    SavedQueryRow,
    UnknownImageRow,
)
from xemplar.catalog.term_index import forget_terms

CHANGED = "changed"
"""Stands in the audit trail for a value that must not be disclosed."""


def delete_cases(connection: Connection, ids: Collection[int]) -> None:
    """Delete cases with all that belongs to them, and their reports' terms from SQLite's index."""
    reported = False
    for some in parts(ids):
        reported |= have_reports(connection, some)
        connection.execute(delete(CaseRow).where(CaseRow.id.in_(some)))
    if reported:
        forget_terms(connection)


def redact_audit_trail(connection: Connection, images: Mapping[str, str]) -> None:
    """Remove image digests and metadata values of their cases from the audit trail.

    The entries keep the key, the time, the case and the names of changed fields.

    Args:
        connection: in the transaction that removes the cases.
        images: case id -> image digest.
    """
    about = or_(AuditRow.subject.in_(images), AuditRow.image_sha256.in_(images.values()))
    query = select(AuditRow.id, AuditRow.details).where(about)
    found = connection.execute(query.order_by(AuditRow.id).with_for_update()).all()
    rows = [{"number": row.id, "left": _without_values(row.details)} for row in found]
    if rows:
        statement = (
            update(AuditRow.__table__)  # type: ignore[arg-type]  # it is a Table
            .where(AuditRow.id == bindparam("number"))
            .values(image_sha256=None, details=bindparam("left"))
        )
        connection.execute(statement, rows)


def _without_values(details: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if details is None:
        return None
    return {name: CHANGED if isinstance(value, dict) else value for name, value in details.items()}


def delete_uses(connection: Connection, image_ids: Collection[str]) -> None:
    """Delete ratings and queries of images, in the transaction that removes their cases."""
    used = (RatingRow, EarlierRatingRow, UnknownImageRow, RememberedQueryRow, SavedQueryRow)
    for table in used:
        connection.execute(delete(table).where(table.image_id.in_(image_ids)))
