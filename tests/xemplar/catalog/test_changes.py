"""Following a catalog: what came and went since a change, however many write at the same time."""

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import event, update

from xemplar.catalog import Catalog, Description, Entry, case_id_of
from xemplar.catalog.schema import reading, writing
from xemplar.catalog.tables import ChangeRow
from xemplar.reports.report import StoredReport

ONE, OTHER = "1" * 64, "2" * 64


def entry(number: int) -> Entry:
    return Entry(
        image_sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        description=Description(source="set"),
        height=96,
        width=80,
        vector=np.float32([1, 0]),
        logits=np.zeros(2, np.float32),
        cams=np.zeros((2, 2, 2)),
    )


def case_id(number: int) -> str:
    return case_id_of(entry(number).image_sha256)


def test_only_what_changed_since_is_told(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1), entry(2)])
    catalog.remove([case_id(1)])
    before = catalog.version()
    assert catalog.embedded_ids(ONE, before).tolist() == []
    assert catalog.removed(before) == frozenset()
    catalog.add(OTHER, [entry(3)])
    catalog.add(ONE, [entry(4)])
    catalog.remove([case_id(2)])
    assert catalog.version() > before
    assert catalog.embedded_ids(ONE, before).tolist() == [4]
    assert catalog.removed(before) == {2}
    assert catalog.removed() == {1, 2}


def test_nothing_to_do_is_no_change(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1)])
    catalog.describe(case_id(1), {"sex": "F"})
    catalog.reports.put({entry(1).image_sha256: StoredReport("Effusion.")})
    before = catalog.version()
    catalog.reports.put({entry(1).image_sha256: StoredReport("Effusion.")})
    catalog.reports.put({entry(2).image_sha256: StoredReport("Effusion.")})
    catalog.remove([case_id(2)])
    catalog.put_embeddings(ONE, {99: entry(99)})
    catalog.describe(case_id(1), {"sex": "F"})
    catalog.describe(case_id(1), {})
    assert catalog.version() == before


def test_changes_of_metadata_are_told(catalog: Catalog) -> None:
    """By a reader, by a newer data set with a new embedding or without, by a report; a new case is
    none."""
    catalog.add(ONE, [entry(number) for number in range(1, 5)])
    before = catalog.version()
    newer = Description(source="newer", file="a.png")
    catalog.describe(case_id(2), {"sex": "F"})
    assert catalog.described_ids(before).tolist() == [2]
    catalog.add(ONE, [], [(entry(3).image_sha256, newer)])
    catalog.add(ONE, [replace(entry(4), description=newer), entry(5)])
    assert catalog.described_ids(before).tolist() == [2, 3, 4]
    assert catalog.described_ids(before + 1).tolist() == [3, 4]
    catalog.reports.put({entry(1).image_sha256: StoredReport("Effusion.")})
    assert catalog.described_ids(before + 3).tolist() == [1]
    assert catalog.described_ids(catalog.version()).tolist() == []


def test_a_change_is_seen_only_after_those_before_it(catalog: Catalog) -> None:
    """Else whoever asked in between would never hear of the slower one."""
    before = catalog.version()
    with ThreadPoolExecutor(1) as pool:
        with writing(catalog.engine) as slow:
            slow.execute(update(ChangeRow).values(number=ChangeRow.number + 1))
            quick = pool.submit(catalog.add, ONE, [entry(1)])
            time.sleep(0.2)
            assert not quick.done()
            assert catalog.version() == before
            assert catalog.embedded_ids(ONE, before).tolist() == []
        quick.result()
    assert catalog.version() == before + 2


def test_who_follows_many_writers_misses_nothing(catalog: Catalog) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 10):
            catalog.add(ONE, [entry(number)])
            if number % 3 == 0:
                catalog.remove([case_id(number)])

    here, seen = set[int](), 0

    def follow() -> None:
        nonlocal seen
        since, seen = seen, catalog.version()
        here.update(catalog.embedded_ids(ONE, since).tolist())
        here.difference_update(catalog.removed(since))

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, first) for first in range(0, 40, 10)]
        while not all(writer.done() for writer in writers):
            follow()
        for writer in writers:
            writer.result()
    follow()
    assert here == set(catalog.embedded_ids(ONE).tolist())


@contextmanager
def statements(catalog: Catalog) -> Iterator[list[tuple[str, Any]]]:
    """What is sent to the database meanwhile."""
    sent: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        sent.append((statement, parameters))

    event.listen(catalog.engine, "before_cursor_execute", note)
    yield sent
    event.remove(catalog.engine, "before_cursor_execute", note)


def test_looking_for_changes_goes_through_no_table(catalog: Catalog) -> None:
    """The cost does not grow with the catalog; `benchmarks/catalog_version.py` measures it."""
    catalog.add(ONE, [entry(number) for number in range(20)])
    with statements(catalog) as sent:
        last = catalog.version()
        catalog.embedded_ids(ONE, last)
        catalog.removed(last)
    explain = "EXPLAIN QUERY PLAN" if catalog.engine.dialect.name == "sqlite" else "EXPLAIN"
    with reading(catalog.engine) as connection:
        if explain == "EXPLAIN":  # a table this small would be read whole
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        asked = [(s, p) for s, p in sent if s.startswith("SELECT") and "last_change" not in s]
        assert len(asked) == 2
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
            told = " ".join(str(row) for row in plan)
            assert "_change" in told, told
            assert "SCAN" not in told, told
            assert "Seq Scan" not in told, told
