"""Filters in memory mean what brute force over the cases means, whatever has changed since."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from tests.xemplar.catalog.test_filters import (
    CHECKPOINT,
    FINDINGS,
    FIRST_DAY,
    LABELS,
    described,
    filters,
    meets,
)
from xemplar.api import CaseFilter
from xemplar.catalog import Access, Catalog, Description, FilterColumns, case_id_of
from xemplar.catalog.schema import writing
from xemplar.catalog.tables import CaseRow
from xemplar.catalog.tally import Tally
from xemplar.data.findings import NO_FINDING
from xemplar.data.outcomes import Diagnosis, Outcome, Proof

OUTCOMES = (
    (),
    (Outcome(Diagnosis.OTHER, Proof.CT),),
    (Outcome(Diagnosis.LUNG_CANCER, Proof.BIOPSY), Outcome(Diagnosis.PNEUMONIA, Proof.DISCHARGE)),
)
FIRST = 20
"""Cases from the beginning, numbered from 0."""


def ids_of(catalog: Catalog) -> Any:
    return catalog.embedded_ids(CHECKPOINT)


def assert_right(
    columns: FilterColumns, catalog: Catalog, wanted: CaseFilter, absent: str | None = None
) -> None:
    """The mask selects exactly those of the columns' cases that meet the filter now."""
    right = [
        number for number, case in catalog.cases(columns.ids).items() if meets(case, wanted, absent)
    ]
    mask = columns.mask(wanted, absent)
    assert mask.dtype == bool
    assert mask.shape == columns.ids.shape
    assert columns.ids[mask].tolist() == sorted(right)
    tally = columns.tally(mask)
    brute = Tally.of(catalog.cases(right).values())
    assert replace(tally, known={name: tally.known[name] for name in brute.known}) == brute


class Changes:
    """Changes to a catalog of the cases of `described`, as programs make them."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.there = list(range(FIRST))
        catalog.add(CHECKPOINT, [described(number) for number in self.there])
        self.next = FIRST

    def add(self, _: int) -> None:
        self.catalog.add(CHECKPOINT, [described(self.next)])
        self.there.append(self.next)
        self.next += 1

    def add_again(self, place: int) -> None:
        """A removed case comes back with another id."""
        self.remove(place)
        self.add(place)

    def remove(self, place: int) -> None:
        if len(self.there) > 1:
            number = self.there.pop(place % len(self.there))
            self.catalog.remove([case_id_of(described(number).image_sha256)])

    def describe(self, place: int) -> None:
        digest = described(self.there[place % len(self.there)]).image_sha256
        fields = {
            "sex": ("F", "M", None)[place % 3],
            "age": (None, 3, 50)[place % 3],
            "view": ("pa", "LL", None, "New view")[place % 4],
            "source": ("one", "third")[place % 2],
            "labels": {**LABELS[place % len(LABELS)], "Hernia": place % 2},
            "outcomes": OUTCOMES[place % len(OUTCOMES)],
        }
        self.catalog.describe(case_id_of(digest), fields)

    def take_newer_labels(self, place: int) -> None:
        """A data set that is indexed again needs no new embedding."""
        digest = described(self.there[place % len(self.there)]).image_sha256
        newer = Description(source="one", file="a.png", labels=LABELS[place % len(LABELS)])
        self.catalog.add(CHECKPOINT, [], [(digest, newer)])


KINDS = ("add", "add_again", "remove", "describe", "take_newer_labels")
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 100)), max_size=4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def check_changes(changes: Changes, data: st.DataObject) -> None:
    """Columns follow the catalog with and without the ids of what came and went."""
    catalog = changes.catalog
    columns = FilterColumns.read(catalog, ids_of(catalog))
    for same_ids in data.draw(st.lists(st.booleans(), min_size=1, max_size=3)):
        for kind, place in data.draw(STEPS):
            getattr(changes, kind)(place)
        columns = columns.updated(catalog, columns.ids if same_ids else ids_of(catalog))
        wanted, absent = data.draw(filters()), data.draw(st.none() | st.sampled_from(FINDINGS))
        assert_right(columns, catalog, wanted, absent)
        assert_right(columns, catalog, CaseFilter())
        if not same_ids:
            assert columns.ids.tolist() == ids_of(catalog).tolist()


@pytest.fixture
def changes(catalog: Catalog) -> Iterator[Changes]:
    return Changes(catalog)


def test_they_follow_every_change(changes: Changes) -> None:
    check_changes(changes)


def test_columns_of_before_stay_as_they_were(changes: Changes) -> None:
    """A running query goes on with them."""
    catalog, wanted = changes.catalog, CaseFilter(sex="F")
    before = FilterColumns.read(catalog, ids_of(catalog))
    masks = [before.mask(wanted)]
    for place in range(6):
        changes.describe(place)
    changes.remove(3)
    changes.add(0)
    after = before.updated(catalog, ids_of(catalog))
    kept = before.updated(catalog, before.ids)
    masks.append(before.mask(wanted))
    assert (masks[0] == masks[1]).all()
    assert after.mask(wanted).tolist() != masks[0].tolist()
    assert kept.mask(wanted).tolist() != masks[0].tolist()


def test_nothing_is_read_where_nothing_changed(changes: Changes) -> None:
    catalog = changes.catalog
    columns = FilterColumns.read(catalog, ids_of(catalog))
    assert columns.updated(catalog, columns.ids) is columns


def test_more_findings_than_bits_of_a_word(catalog: Catalog) -> None:
    names = [f"Sign {number}" for number in range(100)]
    catalog.add(CHECKPOINT, [described(number) for number in range(4)])
    columns = FilterColumns.read(catalog, ids_of(catalog))
    for number in range(4):
        labels = {name: place % 4 == number for place, name in enumerate(names)}
        fields = {"labels": {name: int(there) for name, there in labels.items()}}
        catalog.describe(case_id_of(described(number).image_sha256), fields)
    columns = columns.updated(catalog, columns.ids)
    for place in (0, 31, 32, 63, 64, 99):
        wanted = CaseFilter(any_of=(names[place],))
        assert np.flatnonzero(columns.mask(wanted)).tolist() == [place % 4]
        assert_right(columns, catalog, CaseFilter(none_of=(names[place],)), names[place])
    assert_right(columns, catalog, CaseFilter(all_of=(names[1], names[65])))


def test_a_caller_sees_only_its_sources(changes: Changes) -> None:
    catalog = changes.catalog
    columns = FilterColumns.read(catalog, ids_of(catalog))
    for sources in ({"one"}, {"one", "other"}, {"nowhere"}, set()):
        bound = catalog.bound(Access(sources=frozenset(sources)))
        for wanted in (CaseFilter(), CaseFilter(sex="F"), CaseFilter(source=("other",))):
            found = columns.ids[columns.mask(wanted, None, sources)]
            assert found.tolist() == bound.matching(wanted).tolist()


def test_a_day_begins_at_midnight_utc(changes: Changes) -> None:
    catalog = changes.catalog
    times = [datetime(2025, 3, 1, 23, 59, 59, 999_999, UTC), datetime(2025, 3, 2, tzinfo=UTC)]
    ids = ids_of(catalog)
    with writing(catalog.engine) as connection:
        for number, when in zip(ids[:2].tolist(), times, strict=True):
            connection.execute(update(CaseRow).where(CaseRow.id == number).values(created_at=when))
    columns = FilterColumns.read(catalog, ids)
    first, second = (when.date() for when in times)
    assert first == FIRST_DAY.date()
    assert columns.ids[columns.mask(CaseFilter(indexed_until=first))].tolist() == ids[:1].tolist()
    only = CaseFilter(indexed_since=second, indexed_until=second)
    assert columns.ids[columns.mask(only)].tolist() == ids[1:2].tolist()


def test_no_cases_are_no_columns(catalog: Catalog) -> None:
    columns = FilterColumns.read(catalog, ids_of(catalog))
    assert columns.mask(CaseFilter(none_of=(NO_FINDING,))).shape == (0,)
    catalog.add(CHECKPOINT, [described(1)])
    assert columns.updated(catalog, ids_of(catalog)).mask(CaseFilter()).tolist() == [True]
