"""`CaseReports`: scrubbed reports of cases, found by their terms.

SQLite finds them by FTS5, PostgreSQL by a tsvector; both index terms as `xemplar.reports.terms`
writes them, so that they find the same cases.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, Engine, column, delete, func, select, table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from xemplar.catalog.access import EVERYTHING, Access
from xemplar.catalog.rows import parts
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import CaseRow, ReportRow
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


class Says(ColumnElement[bool]):
    """Condition on `CaseRow`: the case's report has all of some terms."""

    inherit_cache = False

    def __init__(self, terms: Sequence[str]) -> None:
        self.terms = tuple(terms)
        if not all(term.isascii() and term.isalnum() for term in self.terms):
            raise ValueError(f"terms are of ASCII letters and digits, not {self.terms}")


@compiles(Says, "sqlite")
def _says_in_sqlite(says: Says, compiler: SQLCompiler, **options: object) -> str:
    index = table("report_terms", column("rowid"))
    match = text("report_terms MATCH :terms").bindparams(terms=_for_fts5(says.terms))
    found = CaseRow.id.in_(select(index.c.rowid).where(match))
    return compiler.process(found, **options)


@compiles(Says, "postgresql")
def _says_in_postgresql(says: Says, compiler: SQLCompiler, **options: object) -> str:
    found = CaseRow.id.in_(select(ReportRow.case).where(_in_postgresql(says.terms)))
    return compiler.process(found, **options)


class CaseReports:
    """Reports of the cases that a caller can see. Thread-safe."""

    def __init__(self, engine: Engine, access: Access = EVERYTHING) -> None:
        self._engine = engine
        self._access = access

    def put(self, reports: Mapping[str, StoredReport], *, mined: Collection[str] = ()) -> None:
        """Store reports in place of earlier ones; an empty one deletes what there was.

        Args:
            reports: image digest -> report; of images that are no cases it is left out.
            mined: digests of the images whose labels were read from their reports.
        """
        if not reports:
            return
        with writing(self._engine) as connection:
            query = select(CaseRow.id, CaseRow.image_sha256).where(*self._access.conditions())
            for some in parts(reports):
                found = connection.execute(query.where(CaseRow.image_sha256.in_(some))).all()
                terms = _terms_of_cases(connection, [row.id for row in found])
                gone = [row.id for row in found if not reports[row.image_sha256]]
                if gone:
                    connection.execute(delete(ReportRow).where(ReportRow.case.in_(gone)))
                rows = [
                    _row(row.id, reports[row.image_sha256], row.image_sha256 in mined)
                    for row in found
                    if reports[row.image_sha256]
                ]
                stay = {row["case"]: row["terms"] for row in rows}
                if rows:
                    insert = postgresql.insert if self._is_postgresql else sqlite.insert
                    statement = insert(ReportRow)
                    names = ("findings", "impression", "terms", "mined")
                    newer = {name: statement.excluded[name] for name in names}
                    connection.execute(
                        statement.on_conflict_do_update(index_elements=["case"], set_=newer), rows
                    )
                if any(stay.get(case) != old for case, old in terms.items()):
                    forget_terms(connection)

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

    def saying(self, terms: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the ids of the cases whose report has all of some terms, int64 (n,), ascending.

        Whether the caller can see them is not asked: the index that they are looked up in knows.
        """
        with reading(self._engine) as connection:
            return self._saying(connection, terms)

    def saying_each(self, terms: Sequence[str]) -> list[npt.NDArray[np.int64]]:
        """Return for each of some terms the ids of the cases whose report has it, as `saying`."""
        with reading(self._engine) as connection:
            return [self._saying(connection, [term]) for term in terms]

    def _saying(self, connection: Connection, terms: Sequence[str]) -> npt.NDArray[np.int64]:
        if self._is_postgresql:
            query = select(func.array_agg(ReportRow.case)).where(_in_postgresql(terms))
        else:
            query = select(func.group_concat(column("rowid"))).select_from(table("report_terms"))
            match = text("report_terms MATCH :terms").bindparams(terms=_for_fts5(terms))
            query = query.where(match)
        found: Any = connection.scalar(query)  # a list, or numbers between commas
        if not found:
            return np.empty(0, np.int64)
        if self._is_postgresql:
            ids = np.array(found, np.int64)
        else:
            ids = np.fromstring(found, np.int64, sep=",")
        return np.sort(ids, kind="stable")  # in order already, mostly: one pass

    @property
    def _is_postgresql(self) -> bool:
        return self._engine.dialect.name == "postgresql"


def have_reports(connection: Connection, ids: Sequence[int]) -> bool:
    """Tell if any of some cases has a report."""
    found = select(ReportRow.case).where(ReportRow.case.in_(ids)).limit(1)
    return connection.scalar(found) is not None


def forget_terms(connection: Connection) -> None:
    """Make SQLite's index of terms forget reports that were removed or replaced.

    FTS5 marks their terms as deleted, and would keep them until it merges the parts of its index.
    Merging takes a time that grows with the index (docs/reports.md).

    Args:
        connection: in the transaction that removes or replaces them.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO report_terms (report_terms) VALUES ('optimize')"))


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


def _for_fts5(terms: Sequence[str]) -> str:
    return " AND ".join(f'"{term}"' for term in terms)


def _in_postgresql(terms: Sequence[str]) -> ColumnElement[bool]:
    indexed = func.to_tsvector(text("'simple'"), ReportRow.terms)
    return indexed.bool_op("@@")(func.to_tsquery(text("'simple'"), " & ".join(terms)))
