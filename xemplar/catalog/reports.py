"""`CaseReports`: scrubbed reports of cases, found by their terms."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from xemplar.catalog.access import EVERYTHING, Access
from xemplar.catalog.changes import next_change, number_cases
from xemplar.catalog.postings import Postings
from xemplar.catalog.rows import parts
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import CaseRow, ReportRow
from xemplar.catalog.term_index import Ids, forget_terms
from xemplar.reports.report import StoredReport
from xemplar.reports.terms import terms_of


@dataclass(frozen=True)
class CaseReport:
    """The report of a case.

    Attributes:
        report: its scrubbed text.
        mined: whether the labels of the case were read from it.
    """

    report: StoredReport
    mined: bool


class CaseReports:
    """Reports of the cases that a caller can see. Thread-safe."""

    def __init__(
        self, engine: Engine, access: Access = EVERYTHING, postings: Postings | None = None
    ) -> None:
        """Read and write reports of a database.

        Args:
            engine: of the database.
            access: limits of the caller.
            postings: what is kept of the same database's terms; None to keep it no longer than
                this object.
        """
        self._engine = engine
        self._access = access
        self._postings = Postings() if postings is None else postings

    def put(self, reports: Mapping[str, StoredReport], *, mined: Collection[str] = ()) -> None:
        """Store reports in place of earlier ones; an empty one deletes what there was.

        Args:
            reports: image digest -> report; of images that are no cases it is left out.
            mined: digests of the images whose labels were read from their reports.
        """
        if not reports:
            return
        changed = list[int]()
        with writing(self._engine) as connection:
            query = select(CaseRow.id, CaseRow.image_sha256).where(*self._access.conditions())
            locking = query.order_by(CaseRow.id).with_for_update()
            for some in parts(reports):
                found = connection.execute(locking.where(CaseRow.image_sha256.in_(some))).all()
                before = _terms_of_cases(connection, [row.id for row in found])
                gone = [row.id for row in found if not reports[row.image_sha256]]
                if gone:
                    connection.execute(delete(ReportRow).where(ReportRow.case.in_(gone)))
                rows = [
                    _row(row.id, reports[row.image_sha256], row.image_sha256 in mined)
                    for row in found
                    if reports[row.image_sha256]
                ]
                if rows:
                    self._put_rows(connection, rows)
                after = {row["case"]: row["terms"] for row in rows}
                if any(after.get(case) != terms for case, terms in before.items()):
                    forget_terms(connection)
                changed += [row.id for row in found if before.get(row.id) != after.get(row.id)]
            if changed:
                number_cases(connection, changed, next_change(connection))

    def _put_rows(self, connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(ReportRow)
        names = ("findings", "impression", "terms", "mined")
        newer = {name: statement.excluded[name] for name in names}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["case"], set_=newer), rows
        )

    def of(self, ids: Iterable[int]) -> Mapping[int, CaseReport]:
        """Return the reports of cases by their ids; cases without one are missing."""
        wanted = [*map(int, ids)]
        if not wanted:
            return {}
        query = select(ReportRow.case, ReportRow.findings, ReportRow.impression, ReportRow.mined)
        query = query.join(CaseRow, CaseRow.id == ReportRow.case).where(*self._access.conditions())
        with reading(self._engine) as connection:
            return {
                row.case: CaseReport(StoredReport(row.findings, row.impression), row.mined)
                for some in parts(wanted)
                for row in connection.execute(query.where(ReportRow.case.in_(some)))
            }

    def saying(self, terms: Sequence[str]) -> Ids:
        """Return the ids of the cases whose report has all of some terms, int64 (n,), ascending.

        Whether the caller can see them is not asked: the index that they are looked up in knows.

        Args:
            terms: distinct, at least one.
        """
        found, *others = sorted(self.saying_each(terms), key=len)
        for ids in others:
            found = found[np.isin(found, ids, assume_unique=True)]
        return found

    def saying_each(self, terms: Sequence[str]) -> list[Ids]:
        """Return for each of some terms the ids of the cases whose report has it, as `saying`."""
        with reading(self._engine) as connection:
            return self._postings.of(connection, terms)


def have_reports(connection: Connection, ids: Sequence[int]) -> bool:
    """Tell if any of some cases has a report."""
    found = select(ReportRow.case).where(ReportRow.case.in_(ids)).limit(1)
    return connection.scalar(found) is not None


def _terms_of_cases(connection: Connection, ids: Sequence[int]) -> Mapping[int, str]:
    query = select(ReportRow.case, ReportRow.terms).where(ReportRow.case.in_(ids))
    return {row.case: row.terms for row in connection.execute(query)}


def _row(case: int, report: StoredReport, mined: bool) -> dict[str, object]:
    return {
        "case": case,
        "findings": report.findings,
        "impression": report.impression,
        "terms": terms_of(report),
        "mined": mined,
    }
