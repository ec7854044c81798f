"""What is counted of the catalog: for whoever watches over a service, or asks it."""

from collections.abc import Mapping

from sqlalchemy import Engine, func, select

from xemplar.catalog.reader import CatalogReader
from xemplar.catalog.schema import reading
from xemplar.catalog.tables import CaseRow, FindingRow, JobRow


def job_counts(engine: Engine) -> Mapping[str, int]:
    """How many jobs there are, by state.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    query = select(JobRow.state, func.count()).group_by(JobRow.state)
    with reading(engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def finding_counts(catalog: CatalogReader) -> Mapping[str, int]:
    """In how many cases each finding is present, "No Finding" too; within the caller's limits.

    Raises:
        DatabaseUnreachable: the database does not answer.
    """
    query = select(FindingRow.finding, func.count()).group_by(FindingRow.finding)
    if catalog.access.sources is not None:
        query = query.join(CaseRow, CaseRow.id == FindingRow.case)
        query = query.where(*catalog.access.conditions())
    with reading(catalog.engine) as connection:
        return {row[0]: row[1] for row in connection.execute(query)}
