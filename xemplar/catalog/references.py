"""Stores the sealed references of cases to their studies; see `xemplar.retrieval.references`."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, select

from xemplar.catalog.table_base import Upsert
from xemplar.catalog.tables import CaseRow, ReferenceRow


def put_references(
    connection: Connection,
    upsert: Upsert,
    references: Mapping[str, bytes],
    allowed: Sequence[ColumnElement[bool]] = (),
) -> None:
    """Store references of images that are cases.

    Args:
        connection: in the transaction that stores the cases.
        upsert: the database's insert.
        references: image digest -> sealed reference.
        allowed: conditions that the cases must meet.
    """
    if not references:
        return
    query = select(CaseRow.id, CaseRow.image_sha256).where(*allowed)
    found = connection.execute(query.where(CaseRow.image_sha256.in_(references))).all()
    rows = [{"case": row.id, "sealed": references[row.image_sha256]} for row in found]
    if rows:
        statement = upsert(ReferenceRow)
        newer = {"sealed": statement.excluded.sealed}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["case"], set_=newer), rows
        )
