"""Reports: stored and removed with their cases, and found as brute force finds them."""

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.xemplar.catalog.test_filters import CHECKPOINT, described
from xemplar.catalog import Access, Catalog, open_catalog
from xemplar.catalog.copying import copy_catalog
from xemplar.phantom.report import ABSENT, PRESENT, phantom_report
from xemplar.reports.report import ReceivedReport, StoredReport
from xemplar.reports.terms import terms_of, wanted

ASKED = [
    *ABSENT.values(),
    *(f"no {name}" for name in ABSENT.values()),
    "left effusion",
    "enlarged heart without pneumothorax",
    "catheter",
    "upper lobe nodule",
]


def report(number: int) -> StoredReport:
    draw = random.Random(number)
    made = phantom_report(draw.sample(list(PRESENT), number % 4), number)
    return ReceivedReport(made.findings, made.impression).scrubbed()


@pytest.fixture
def filled(catalog: Catalog) -> Catalog:
    """60 cases, of which each third one has no report."""
    entries = [described(number) for number in range(60)]
    catalog.add(CHECKPOINT, entries)
    catalog.reports.put({entry.image_sha256: report(n) for n, entry in enumerate(entries) if n % 3})
    return catalog


def brute_force(catalog: Catalog, terms: Sequence[str]) -> list[int]:
    reports = catalog.reports.of(catalog.embedded_ids(CHECKPOINT))
    return sorted(
        case for case, one in reports.items() if {*terms} <= {*terms_of(one.report).split()}
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(ASKED), min_size=1, max_size=2))
def test_terms_find_what_brute_force_finds(filled: Catalog, asked: list[str]) -> None:
    terms = wanted(". ".join(asked)).terms
    assert filled.reports.saying(terms).tolist() == brute_force(filled, terms)


def test_a_denial_is_another_term(catalog: Catalog) -> None:
    texts = ["Left pleural effusion.", "No pleural effusion.", "Effusion cannot be excluded."]
    entries = [described(number) for number in range(3)]
    catalog.add(CHECKPOINT, entries)
    pairs = zip(entries, texts, strict=True)
    catalog.reports.put({e.image_sha256: StoredReport(findings=t) for e, t in pairs})
    assert catalog.reports.saying(wanted("effusion").terms).tolist() == [1, 3]
    assert catalog.reports.saying(wanted("no effusion").terms).tolist() == [2]


def test_a_newer_report_replaces_the_older_one(catalog: Catalog) -> None:
    one = described(1)
    catalog.add(CHECKPOINT, [one])
    catalog.reports.put({one.image_sha256: StoredReport("Effusion.")}, mined=[one.image_sha256])
    catalog.reports.put({one.image_sha256: StoredReport("Nodule.", "Nodule.")})
    found = catalog.reports.of([1])[1]
    assert (found.report, found.mined) == (StoredReport("Nodule.", "Nodule."), False)
    assert catalog.reports.saying(wanted("effusion").terms).tolist() == []
    assert catalog.reports.saying(wanted("nodule").terms).tolist() == [1]


def test_a_case_tells_if_it_has_a_report(filled: Catalog) -> None:
    ids = filled.embedded_ids(CHECKPOINT)
    told = {number for number, case in filled.cases(ids).items() if case.has_report}
    assert told == set(filled.reports.of(ids))
    assert 0 < len(told) < len(ids)


def test_an_empty_report_deletes_it(catalog: Catalog) -> None:
    one = described(1)
    catalog.add(CHECKPOINT, [one])
    catalog.reports.put({one.image_sha256: StoredReport("Effusion.")})
    catalog.reports.put({one.image_sha256: StoredReport()})
    assert not catalog.case(one.image_sha256[:16]).has_report
    assert catalog.reports.saying(wanted("effusion").terms).tolist() == []


def test_a_removed_case_takes_its_report_with_it(filled: Catalog) -> None:
    terms = wanted("pneumothorax").terms
    cases = filled.cases(filled.reports.saying(terms))
    assert cases
    filled.remove([case.case_id for case in cases.values()])
    assert filled.reports.saying(terms).tolist() == []
    assert not filled.reports.of(cases)


def test_another_source_s_report_is_neither_read_nor_written(filled: Catalog) -> None:
    bound = filled.bound(Access(sources=frozenset({"one"})))
    assert {case.source for case in filled.cases(bound.reports.of(range(1, 61))).values()} == {
        "one"
    }
    hidden = next(case for case in filled.cases(range(1, 61)).values() if case.source == "other")
    before = filled.reports.of([hidden.id])
    bound.reports.put({hidden.image_sha256: StoredReport("Nodule.")})
    assert filled.reports.of([hidden.id]) == before


@pytest.fixture
def copied(filled: Catalog, tmp_path: Path) -> Iterator[Catalog]:
    target = f"sqlite:///{tmp_path / 'copy.sqlite'}"
    copy_catalog(filled.engine.url.render_as_string(hide_password=False), target)
    with open_catalog(target) as opened:
        yield opened


def test_a_copy_has_the_reports_and_finds_them(filled: Catalog, copied: Catalog) -> None:
    ids = filled.embedded_ids(CHECKPOINT)
    assert copied.reports.of(ids) == filled.reports.of(ids)
    for terms in (wanted("effusion").terms, wanted("no effusion").terms):
        assert copied.reports.saying(terms).tolist() == filled.reports.saying(terms).tolist()


def test_the_index_of_terms_agrees_with_the_reports(filled: Catalog) -> None:
    if filled.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's index is derived by itself")
    filled.remove(
        [case.case_id for case in itertools.islice(filled.cases(range(1, 9)).values(), 4)]
    )
    with filled.engine.connect().execution_options(write=True) as connection:
        # fails if the index and its table differ
        connection.execute(
            text("INSERT INTO report_terms (report_terms) VALUES ('integrity-check')")
        )


RARE = StoredReport("Mesothelioma.")
OTHERS = [StoredReport("Effusion."), StoredReport("No effusion. Nodule.")]


@pytest.fixture
def rare(catalog: Catalog) -> str:
    """The image of a case whose report alone has a word; two others have a report as well."""
    entries = [described(number) for number in range(3)]
    catalog.add(CHECKPOINT, entries)
    pairs = zip(entries, [RARE, *OTHERS], strict=True)
    for one, report in pairs:  # one by one, so that the index has several parts
        catalog.reports.put({one.image_sha256: report})
    return entries[0].image_sha256


def index_of_terms(catalog: Catalog) -> bytes:
    """Whatever SQLite's index of terms holds, whether or not a search can see it."""
    if catalog.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's index holds what its table holds")
    with catalog.engine.connect() as connection:
        return b"".join(connection.scalars(text("SELECT block FROM report_terms_data")))


@pytest.mark.parametrize("how", ["case removed", "report removed", "report replaced"])
def test_no_word_of_a_report_that_is_gone_stays_in_the_index(
    catalog: Catalog, rare: str, how: str
) -> None:
    assert b"mesothelioma" in index_of_terms(catalog)
    if how == "case removed":
        catalog.remove([rare[:16]])
    else:
        catalog.reports.put({rare: StoredReport("Edema." if how == "report replaced" else "")})
    assert b"thelioma" not in index_of_terms(catalog)
    assert catalog.reports.saying(wanted("nodule").terms).tolist() == [3]


def test_no_word_of_a_removed_report_stays_in_the_files(catalog: Catalog, rare: str) -> None:
    file = Path(catalog.engine.url.database or "")
    if catalog.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's files are its own")
    catalog.remove([rare[:16]])
    assert catalog.truncate_log()
    assert b"thelioma" not in file.read_bytes().lower()
