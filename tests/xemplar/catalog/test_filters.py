"""Filters mean what brute force over the cases means, on SQLite and PostgreSQL alike."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from xemplar.api import CaseFilter
from xemplar.catalog import Case, Catalog, Description, Entry, FilterColumns
from xemplar.catalog.tables import CaseRow
from xemplar.data.findings import NO_FINDING
from xemplar.errors import InvalidArgument, UnknownFinding

CHECKPOINT = "1" * 64
FIRST_DAY = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = 5
LABELS: tuple[dict[str, int], ...] = (
    {},
    {"Mass": 1, "Effusion": 0},
    {"Mass": 1, "Effusion": 1},
    {"Mass": 0, "Effusion": 0},
    {"Mass": -1, "Effusion": 0},
    {"Effusion": -1},
    {NO_FINDING: 1, "Mass": 0},
    {NO_FINDING: 0, "Bacterial": 1},
)
FINDINGS = ("Mass", "Effusion", "Bacterial", "Hernia", NO_FINDING)


def described(number: int) -> Entry:
    vector = np.zeros(4, np.float32)
    vector[number % 4] = 1
    return Entry(
        image_sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        description=Description(
            source=("one", "other")[number % 2],
            file=f"{number}.png",
            view=("PA", "ap", "LL", None)[number // 3 % 4],
            sex=("F", "M", None)[number % 3],
            age=None if number % 7 == 0 else 10 * (number % 11),
            labels=LABELS[number % len(LABELS)],
        ),
        height=100,
        width=100,
        vector=vector,
        logits=np.zeros(2, np.float32),
        cams=np.zeros((2, 2, 2)),
    )


@pytest.fixture
def filled(catalog: Catalog) -> Iterator[tuple[Catalog, list[Case]]]:
    """60 cases that differ in everything, indexed over `DAYS` days, at midnight and just before."""
    catalog.add(CHECKPOINT, [described(number) for number in range(60)])
    ids = catalog.embedded_ids(CHECKPOINT)
    with catalog._engine.begin() as connection:
        for number in map(int, ids):
            when = FIRST_DAY + timedelta(days=number % DAYS) - timedelta(microseconds=number % 2)
            connection.execute(update(CaseRow).where(CaseRow.id == number).values(created_at=when))
    return catalog, list(catalog.cases(ids).values())


def meets(case: Case, wanted: CaseFilter, absent: str | None = None) -> bool:
    """The filter's definition in Python; ``absent`` is a finding known to be absent."""
    present, day = set(case.findings), case.created_at.date()
    return all(
        (
            not wanted.any_of or present & set(wanted.any_of),
            present >= set(wanted.all_of),
            not present & set(wanted.none_of),
            absent is None
            or case.labels.get(absent) == 0
            or (absent != NO_FINDING and case.findings == (NO_FINDING,)),
            wanted.sex in (None, case.sex),
            wanted.age_min is None or (case.age is not None and case.age >= wanted.age_min),
            wanted.age_max is None or (case.age is not None and case.age <= wanted.age_max),
            not wanted.view or (case.view is not None and case.view.upper() in wanted.view),
            not wanted.source or case.source in wanted.source,
            wanted.indexed_since is None or day >= wanted.indexed_since,
            wanted.indexed_until is None or day <= wanted.indexed_until,
        )
    )


def either(values: Any) -> Any:
    return st.lists(values, max_size=2, unique=True).map(tuple)


def ordered(values: Any) -> Any:
    """(first, last), each of which may be missing."""
    both = st.tuples(values, values).map(sorted)
    return both.flatmap(lambda pair: st.tuples(*(st.none() | st.just(one) for one in pair)))


@st.composite
def filters(draw: Any) -> CaseFilter:
    finding = st.sampled_from(FINDINGS)
    ages = draw(ordered(st.integers(0, 110)))
    days = draw(ordered(st.integers(-1, DAYS).map(lambda n: (FIRST_DAY + timedelta(n)).date())))
    return CaseFilter(
        any_of=draw(either(finding)),
        all_of=draw(either(finding)),
        none_of=draw(either(finding)),
        sex=draw(st.sampled_from([None, None, "F", "M"])),
        age_min=ages[0],
        age_max=ages[1],
        view=draw(either(st.sampled_from(["PA", "pa", "AP", "LL", "RL"]))),
        source=draw(either(st.sampled_from(["one", "other", "third"]))),
        indexed_since=days[0],
        indexed_until=days[1],
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(wanted=filters(), absent=st.none() | st.sampled_from(FINDINGS))
def check_all(filled: tuple[Catalog, list[Case]], wanted: CaseFilter, absent: str | None) -> None:
    catalog, cases = filled
    ids = catalog.matching(wanted, absent)
    assert ids.dtype == np.int64
    assert ids.tolist() == sorted(case.id for case in cases if meets(case, wanted, absent))
    columns = FilterColumns.read(catalog, catalog.embedded_ids(CHECKPOINT))
    assert columns.ids[columns.mask(wanted, absent)].tolist() == ids.tolist()


def test_every_filter_means_what_brute_force_means(filled: tuple[Catalog, list[Case]]) -> None:
    check_all(filled)


@pytest.mark.parametrize(
    "alone",
    [
        {"any_of": ("Mass", "Bacterial")},
        {"all_of": ("Mass", "Effusion")},
        {"none_of": ("Mass",)},
        {"any_of": (NO_FINDING,)},
        {"known_absent": "Effusion"},
        {"known_absent": NO_FINDING},
        {"sex": "F"},
        {"age_min": 20, "age_max": 20},
        {"view": ("PA",)},
        {"view": ("Ap",)},
        {"source": ("other",)},
        {"indexed_since": date(2025, 3, 3)},
        {"indexed_until": date(2025, 3, 3)},
    ],
)
def test_each_filter_by_itself_keeps_some_and_leaves_out_some(
    filled: tuple[Catalog, list[Case]], alone: dict[str, Any]
) -> None:
    catalog, cases = filled
    asked = dict(alone)
    absent = asked.pop("known_absent", None)
    wanted = CaseFilter(**asked)
    found = catalog.matching(wanted, absent).tolist()
    assert found == [case.id for case in cases if meets(case, wanted, absent)]
    assert 0 < len(found) < len(cases)


def test_the_empty_filter_means_every_case(filled: tuple[Catalog, list[Case]]) -> None:
    catalog, cases = filled
    assert catalog.matching(CaseFilter()).tolist() == [case.id for case in cases]


def test_dates_at_the_ends_of_the_calendar_are_dates(filled: tuple[Catalog, list[Case]]) -> None:
    catalog, cases = filled
    always = CaseFilter(indexed_since=date.min, indexed_until=date.max)
    assert len(catalog.matching(always)) == len(cases)


def test_names_are_understood_as_elsewhere_and_unknown_ones_are_refused(
    filled: tuple[Catalog, list[Case]],
) -> None:
    catalog, _ = filled
    synonym = CaseFilter(any_of=(" Pleural Effusion ",))
    assert synonym == CaseFilter(any_of=("Effusion",))
    assert len(catalog.matching(CaseFilter(any_of=("Hernia",)))) == 0
    for role in ("any_of", "all_of", "none_of"):
        with pytest.raises(UnknownFinding, match=r"finding 'Gout'; known here: Atel.*Bact"):
            catalog.matching(CaseFilter(**{role: ("Mass", "Gout")}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"age_min": -1}, "age_min is -1; it must be from 0 to 120"),
        ({"age_max": 121}, "age_max is 121"),
        ({"age_min": 50, "age_max": 40}, "age_min is 50, which is after age_max 40"),
        (
            {"indexed_since": date(2025, 2, 1), "indexed_until": date(2025, 1, 1)},
            "indexed_since is 2025-02-01, which is after indexed_until 2025-01-01",
        ),
        ({"sex": "X"}, "sex is 'X': Input should be 'F' or 'M'"),
        ({"source": ("a\0b",)}, r"source.0 is 'a\\x00b': String should match"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        CaseFilter(**wrong)
