"""Terms asked before are kept in memory, and found as they are in the database now."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from sqlalchemy import event

from tests.xemplar.catalog.test_filters import CHECKPOINT, described
from xemplar.catalog import Catalog, open_catalog
from xemplar.catalog.postings import Postings
from xemplar.catalog.schema import reading
from xemplar.reports.report import StoredReport

CASES = 12
TEXTS = ("Effusion.", "No effusion.", "Nodule.", "Effusion. Nodule.", "No nodule.", "")
TERMS = ("f0effusion", "n0f0effusion", "f0nodule", "n0f0nodule")


def image(number: int) -> str:
    return described(number).image_sha256


@pytest.fixture
def filled(catalog: Catalog) -> Catalog:
    """`CASES` cases, which say the texts above in turn."""
    catalog.add(CHECKPOINT, [described(number) for number in range(CASES)])
    texts = {image(number): TEXTS[number % len(TEXTS)] for number in range(CASES)}
    catalog.reports.put({digest: StoredReport(text) for digest, text in texts.items()})
    return catalog


@pytest.fixture
def other(filled: Catalog) -> Iterator[Catalog]:
    """The same catalog as another process opens it."""
    url = filled.engine.url.render_as_string(hide_password=False)
    with open_catalog(url) as opened:
        yield opened


def read(catalog: Catalog, terms: Sequence[str] = TERMS) -> list[list[int]]:
    """Ids of the cases with each term, read anew."""
    with reading(catalog.engine) as connection:
        return [ids.tolist() for ids in Postings().of(connection, terms)]


def asked(catalog: Catalog, terms: Sequence[str] = TERMS) -> list[list[int]]:
    return [ids.tolist() for ids in catalog.reports.saying_each(terms)]


@contextmanager
def statements(catalog: Catalog) -> Iterator[list[str]]:
    """What a catalog selects in the context."""
    found: list[str] = []

    def remember(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT"):
            found.append(statement)

    event.listen(catalog.engine, "before_cursor_execute", remember)
    yield found
    event.remove(catalog.engine, "before_cursor_execute", remember)


def test_a_term_asked_again_costs_one_statement(filled: Catalog) -> None:
    before = asked(filled)
    assert all(before)
    with statements(filled) as sent:
        assert asked(filled) == before
    assert len(sent) == 1
    assert "last_change" in sent[0]


CHANGES: dict[str, Callable[[Catalog], object]] = {
    "a new report": lambda catalog: catalog.reports.put({image(5): StoredReport("Effusion.")}),
    "another report": lambda catalog: catalog.reports.put({image(0): StoredReport("Nodule.")}),
    "a report removed": lambda catalog: catalog.reports.put({image(0): StoredReport()}),
    "a case removed": lambda catalog: catalog.remove([image(0)[:16]]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_by_another_process_is_seen(filled: Catalog, other: Catalog, what: str) -> None:
    before = asked(filled)
    CHANGES[what](other)
    assert asked(filled) == read(filled) != before


def test_what_changed_is_read_and_not_the_terms_again(filled: Catalog, other: Catalog) -> None:
    asked(filled)
    CHANGES["a new report"](other)
    with statements(filled) as sent:
        asked(filled)
    assert not [one for one in sent if "report_terms" in one or "to_tsvector" in one]


def test_terms_are_read_again_if_more_cases_have_changed(
    filled: Catalog, other: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xemplar.catalog.postings.MOST_CHANGED", 1)
    asked(filled)
    other.reports.put({image(number): StoredReport("Nodule.") for number in (0, 1)})
    assert asked(filled) == read(filled)
    assert asked(filled, ["f0nodule"])[0][:2] == [1, 2]


def test_whatever_is_asked_and_changed_in_turn_is_what_the_database_says(
    filled: Catalog, other: Catalog
) -> None:
    draw = random.Random(0)
    for _ in range(60):
        number = draw.randrange(CASES)
        change = draw.choice(["report", "report", "removed", "added", "described"])
        if change == "report":
            other.reports.put({image(number): StoredReport(draw.choice(TEXTS))})
        elif change == "removed":
            other.remove([image(number)[:16]])
        elif change == "added":
            other.add(CHECKPOINT, [described(number)])
        elif other.find(image(number)[:16]):
            other.describe(image(number)[:16], {"age": draw.randrange(90)})
        terms = draw.sample(TERMS, draw.randrange(1, len(TERMS)))
        assert asked(filled, terms) == read(filled, terms)


def test_no_more_ids_are_kept_than_allowed(filled: Catalog) -> None:
    expected = read(filled)
    most = max(map(len, expected))
    postings = Postings(most_ids=most)
    with reading(filled.engine) as connection:
        for term, ids in zip(TERMS, expected, strict=True):
            assert [found.tolist() for found in postings.of(connection, [term])] == [ids]
            assert 0 < sum(len(one.ids) for one in postings._kept.values()) <= most


def test_the_terms_asked_longest_ago_are_forgotten_first(filled: Catalog) -> None:
    first, second, third = TERMS[:3]
    lengths = dict(zip(TERMS, map(len, read(filled)), strict=True))
    postings = Postings(most_ids=lengths[first] + lengths[third])
    with reading(filled.engine) as connection:
        for term in (first, second, first, third):
            postings.of(connection, [term])
    assert list(postings._kept) == [first, third]


def test_what_is_kept_cannot_be_changed_by_who_asked(filled: Catalog) -> None:
    (ids,) = filled.reports.saying_each(TERMS[:1])
    with pytest.raises(ValueError, match="read-only"):
        ids += np.int64(1)
