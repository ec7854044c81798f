"""The databases' indexes of reports' terms: FTS5 in SQLite, a tsvector's in PostgreSQL.

Both index terms as `xemplar.reports.terms` writes them, so that they find the same cases.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, Connection, column, func, literal, select, table, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from xemplar.catalog.tables import CaseRow, ReportRow

Ids = npt.NDArray[np.int64]


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


def posting(connection: Connection, term: str) -> Ids:
    """Read the ids of the cases whose report has a term, int64 (n,), ascending."""
    if connection.dialect.name == "postgresql":
        # as bytes: a list of numbers takes longer to write and to parse than to find
        numbers = func.string_agg(func.int8send(ReportRow.case), literal(b""))
        found: Any = connection.scalar(select(numbers).where(_in_postgresql([term])))
        ids = np.frombuffer(found or b"", ">i8").astype(np.int64)
    else:
        query = select(func.group_concat(column("rowid"))).select_from(table("report_terms"))
        match = text("report_terms MATCH :terms").bindparams(terms=_for_fts5([term]))
        found = connection.scalar(query.where(match))
        ids = np.fromstring(found, np.int64, sep=",") if found else np.empty(0, np.int64)
    return np.sort(ids, kind="stable")  # in order already, mostly: one pass


def forget_terms(connection: Connection) -> None:
    """Make SQLite's index of terms forget reports that were removed or replaced.

    FTS5 marks their terms as deleted, and would keep them until it merges the parts of its index.
    Merging takes a time that grows with the index (docs/reports.md).

    Args:
        connection: in the transaction that removes or replaces them.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO report_terms (report_terms) VALUES ('optimize')"))


def _for_fts5(terms: Sequence[str]) -> str:
    return " AND ".join(f'"{term}"' for term in terms)


def _in_postgresql(terms: Sequence[str]) -> ColumnElement[bool]:
    indexed = func.to_tsvector(text("'simple'"), ReportRow.terms)
    return indexed.bool_op("@@")(func.to_tsquery(text("'simple'"), " & ".join(terms)))
