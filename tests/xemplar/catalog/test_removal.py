"""Removing more cases at once than a statement of the database takes values."""

import pytest
from sqlalchemy import insert, select, text

from tests.xemplar.catalog.test_changes import entry
from xemplar.catalog import Catalog
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import AuditRow, CaseRow, RemovalRow

CASES = 33_000
"""SQLite takes 32,766 values in one statement."""

PART = 3_000
"""Of them written at once: a server that is silent for too long counts as gone."""


@pytest.fixture
def filled(catalog: Catalog) -> Catalog:
    """A catalog of `CASES` cases with an audited change of each thousandth."""
    fill = (
        "WITH RECURSIVE n(i) AS (SELECT CAST(:first AS INTEGER) UNION ALL SELECT i + 1 FROM n "
        "WHERE i < :last) "
        "INSERT INTO cases (case_id, image_sha256, source, labels, width, height, created_at) "
        "SELECT substr(d, 1, 16), d, 'set', '{}', 1, 1, '2026-01-01 00:00:00.000000' FROM "
        "(SELECT i, substr('0000000' || i, length('' || i), 8) || :rest AS d FROM n) AS digests "
        "ORDER BY i"
    )
    with writing(catalog.engine) as connection:
        for first in range(1, CASES, PART):
            some = {"first": first, "last": first + PART - 1, "rest": "a" * 56}
            connection.execute(text(fill), some)
        found = connection.execute(
            select(CaseRow.case_id, CaseRow.image_sha256, CaseRow.created_at)
        )
        audited = [
            {
                "at": row.created_at,
                "request_id": "r",
                "action": "change",
                "status": 200,
                "subject": row.case_id,
                "image_sha256": row.image_sha256,
                "results": [],
                "details": {"sex": {"old": "F", "new": "M"}},
            }
            for row in found.all()[::1000]
        ]
        connection.execute(insert(AuditRow), audited)
    return catalog


def digests(catalog: Catalog) -> list[str]:
    with reading(catalog.engine) as connection:
        return list(connection.scalars(select(CaseRow.image_sha256)))


@pytest.mark.long
def test_many_cases_are_removed_as_one_change(filled: Catalog) -> None:
    gone = [sha256[:16] for sha256 in digests(filled)[:-10]]
    assert filled.remove(gone) == CASES - 10
    assert filled.count() == 10
    assert len(filled.removed()) == CASES - 10
    with reading(filled.engine) as connection:
        assert connection.scalars(select(RemovalRow.change).distinct()).all() == [filled.version()]
        told = connection.execute(select(AuditRow.image_sha256, AuditRow.details)).all()
    assert len(told) == CASES // 1000
    assert all(tuple(row) == (None, {"sex": "changed"}) for row in told)


def test_many_pictures_without_a_case_are_deleted_and_no_others(catalog: Catalog) -> None:
    catalog.add("f" * 64, [entry(number) for number in range(3)])
    known = digests(catalog)
    unknown = [f"{number:064x}" for number in range(CASES)]
    deleted: list[str] = []
    catalog.delete_unknown_pictures([*known, *unknown], deleted.append)
    assert sorted(deleted) == unknown


def test_many_ids_are_looked_up(catalog: Catalog) -> None:
    catalog.add("f" * 64, [entry(number) for number in range(3)])
    assert len(catalog.cases(range(1, CASES))) == 3
