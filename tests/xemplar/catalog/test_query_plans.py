"""Reads of a large catalog use its indexes, with the database's statistics and without them."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.xemplar.conftest import empty_catalog
from xemplar.api import CaseFilter
from xemplar.catalog import Access, Catalog, open_catalog
from xemplar.catalog.postings import said_since
from xemplar.catalog.schema import reading, writing

ONE, OTHER = "1" * 64, "2" * 64
CASES = 30_000
"""As many as PostgreSQL needs to prefer an index to reading the whole table."""

TABLES = (
    *("cases", "case_findings", "case_times", "case_outcomes", "case_reports"),
    *("embeddings", "removals"),
)
FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
    "INSERT INTO cases (id, case_id, image_sha256, source, sex, labels, width, height, created_at) "
    "SELECT i, CAST(i AS VARCHAR), CAST(i AS VARCHAR), CASE i % 3 WHEN 0 THEN 'one' WHEN 1 THEN "
    "'other' ELSE 'third' END, CASE i % 2 WHEN 0 THEN 'F' ELSE 'M' END, '{}', 1, 1, "
    "'2026-01-01 00:00:00.000000' FROM n",
    "INSERT INTO case_findings (\"case\", finding) SELECT id, 'Mass' FROM cases WHERE id % 5 = 0",
    'INSERT INTO case_times ("case", followup) SELECT id, 1 FROM cases',
    "INSERT INTO case_outcomes (\"case\", diagnosis, proof) SELECT id, 'ARDS', 'CT' FROM cases",
    'INSERT INTO case_reports ("case", findings, impression, terms, mined) '
    "SELECT id, 'Mass.', '', 'mass', false FROM cases",
    'INSERT INTO embeddings ("case", checkpoint, vector, logits, cams, change) '
    "SELECT id, :one, :vector, :logit, :map, id FROM cases",
    'INSERT INTO embeddings ("case", checkpoint, vector, logits, cams, change) '
    "SELECT id, :other, :vector, :logit, :map, id FROM cases WHERE id % 10 = 0",
    'INSERT INTO removals ("case", removed_at, change) '
    "SELECT id + :count, created_at, id FROM cases",
)


def terms_since(catalog: Catalog) -> None:
    with reading(catalog.engine) as connection:
        assert said_since(connection, CASES - 16)


READS: dict[str, Callable[[Catalog], object]] = {
    "batches of a reindex": lambda catalog: list(catalog.vectors(OTHER, size=512)),
    "what came since": lambda catalog: catalog.embedded_ids(ONE, CASES - 16),
    "what went since": lambda catalog: catalog.removed(CASES - 16),
    "what was described since": lambda catalog: catalog.described_ids(CASES - 16),
    "what reports say since": terms_since,
    "embeddings of some cases": lambda catalog: list(catalog.vectors_of(ONE, [5, 700, 2_000])),
    "first page": lambda catalog: catalog.page(ONE, limit=16),
    "middle page": lambda catalog: catalog.page(ONE, after=CASES // 2, limit=16),
    "last page": lambda catalog: catalog.page(ONE, after=CASES - 16, limit=16),
}

FILTERED: dict[str, Callable[[Catalog], object]] = {
    "page of a sex": lambda catalog: catalog.page(ONE, CaseFilter(sex="F"), limit=16),
    "page of two sources": lambda catalog: catalog.page(
        ONE, CaseFilter(source=("one", "other")), limit=16
    ),
    "page of a key": lambda catalog: catalog.bound(
        Access(sources=frozenset({"one", "other"}))
    ).page(ONE, after=CASES // 2, limit=16),
}


@pytest.fixture(scope="module", params=[False, True], ids=["without statistics", "with statistics"])
def analyzed(request: pytest.FixtureRequest) -> bool:
    """True if the database has statistics."""
    return bool(request.param)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(
    request: pytest.FixtureRequest, analyzed: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Catalog]:
    """A catalog of `CASES` cases; each of them, and each removal, is a change of its own.

    It takes seconds to fill, so all tests read the same one.
    """
    values = {"count": CASES, "one": ONE, "other": OTHER, "vector": b"\0" * 64}
    values |= {"logit": b"\0" * 4, "map": b"\0" * 2}
    folder = tmp_path_factory.mktemp("filled")
    with empty_catalog(request, request.param, folder) as url, open_catalog(url) as catalog:
        with writing(catalog.engine) as connection:
            if connection.dialect.name == "postgresql":
                for table in TABLES:  # else the server might gather statistics during the test
                    statement = f"ALTER TABLE {table} SET (autovacuum_enabled = false)"
                    connection.execute(text(statement))
            for statement in FILL:
                connection.execute(text(statement), values)
            if analyzed:
                connection.execute(text("ANALYZE"))
        yield catalog


@contextmanager
def explained(catalog: Catalog) -> Iterator[list[str]]:
    """Plans of all statements in the context, one line for each step."""
    found: list[str] = []
    statements: list[tuple[str, Any]] = []

    def remember(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    event.listen(catalog.engine, "before_cursor_execute", remember)
    yield found
    event.remove(catalog.engine, "before_cursor_execute", remember)
    with reading(catalog.engine) as connection:
        how = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        for statement, parameters in statements:
            rows = connection.exec_driver_sql(f"{how} {statement}", parameters)
            found += [str(row[-1]) for row in rows]


WHOLE = re.compile(r"^SCAN |USE TEMP B-TREE|Seq Scan|Sort  ")


def wrong_plans(
    catalog: Catalog, reads: dict[str, Callable[[Catalog], object]]
) -> dict[str, list[str]]:
    """Plans that read or sort a whole table, by the names of the reads."""
    found = {}
    for name, read in reads.items():
        with explained(catalog) as plan:
            read(catalog)
        assert plan
        if [step for step in plan if WHOLE.search(step)]:
            found[name] = plan
    return found


def test_no_read_of_a_part_scans_or_sorts_the_whole(filled: Catalog) -> None:
    assert wrong_plans(filled, READS) == {}


def test_no_filtered_page_scans_or_sorts_the_whole(filled: Catalog, analyzed: bool) -> None:
    """PostgreSQL needs statistics for that, which it gathers by itself: a filter may be rare."""
    if filled.engine.dialect.name == "postgresql" and not analyzed:
        pytest.skip(
            "PostgreSQL expects few cases of each filter without statistics, and sorts them"
        )
    assert wrong_plans(filled, FILTERED) == {}


def test_a_plan_that_scans_and_one_that_sorts_are_recognized(filled: Catalog) -> None:
    """Else the tests above could not fail."""
    with explained(filled) as plan, reading(filled.engine) as connection:
        connection.execute(text("SELECT id FROM cases WHERE age = 3 ORDER BY width")).all()
    found = [step for step in plan if WHOLE.search(step)]
    assert len(found) == 2, plan


def test_cases_to_embed_are_found_without_a_list_of_the_others(filled: Catalog) -> None:
    """Not by comparing each case with all embeddings, as PostgreSQL does for a long NOT IN."""
    with explained(filled) as plan:
        assert filled.not_embedded("3" * 64).tolist() == list(range(1, CASES + 1))
    assert not [step for step in plan if "SubPlan" in step or "LIST SUBQUERY" in step], plan
