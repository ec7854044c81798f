"""SQL conditions of a `CaseFilter`."""

from datetime import UTC, datetime, time

from sqlalchemy import ColumnElement, func, or_, select

from xemplar.api.search import CaseFilter
from xemplar.catalog.tables import CaseRow, FindingRow
from xemplar.catalog.term_index import Says
from xemplar.data.findings import NO_FINDING, canonical


def conditions(wanted: CaseFilter, known_absent: str | None = None) -> list[ColumnElement[bool]]:
    """Builds the conditions for ``select(...).where(*conditions)`` over `CaseRow`.

    Args:
        wanted: the filter. "No Finding" is present in a case whose known findings are all absent.
        known_absent: a finding whose label must say that it is absent. "No Finding" says so of
            every finding; an uncertain or missing label says nothing.

    Returns:
        Conditions that must all hold; none for the default filter.
    """
    found = _of_findings(wanted)
    if known_absent is not None:
        found.append(_absent(canonical(known_absent)))
    if wanted.sex is not None:
        found.append(CaseRow.sex == wanted.sex)
    if wanted.age_min is not None:
        found.append(CaseRow.age >= wanted.age_min)
    if wanted.age_max is not None:
        found.append(CaseRow.age <= wanted.age_max)
    if wanted.view:
        found.append(func.upper(CaseRow.view).in_(wanted.view))
    if wanted.source:
        found.append(CaseRow.source.in_(wanted.source))
    if wanted.indexed_since is not None:
        found.append(CaseRow.created_at >= datetime.combine(wanted.indexed_since, time.min, UTC))
    if wanted.indexed_until is not None:
        found.append(CaseRow.created_at <= datetime.combine(wanted.indexed_until, time.max, UTC))
    if wanted.says is not None:
        found.append(Says(wanted.terms))
    return found


def _of_findings(wanted: CaseFilter) -> list[ColumnElement[bool]]:
    found = [_present(finding) for finding in wanted.all_of]
    if wanted.any_of:
        found.append(_present(*wanted.any_of))
    if wanted.none_of:
        found.append(~_present(*wanted.none_of))
    return found


def _present(*findings: str) -> ColumnElement[bool]:
    """Selects cases with at least one of the findings."""
    return CaseRow.id.in_(select(FindingRow.case).where(FindingRow.finding.in_(findings)))


def _absent(finding: str) -> ColumnElement[bool]:
    """Selects cases whose labels say that a finding is absent."""
    labelled = CaseRow.labels[finding].as_integer() == 0
    return labelled if finding == NO_FINDING else or_(labelled, _present(NO_FINDING))
