"""Times and outcomes of cases, on SQLite and PostgreSQL alike."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from tests.xemplar.catalog.test_catalog import ONE, digest, entry, the_case
from xemplar.catalog import Access, Catalog
from xemplar.catalog.schema import reading
from xemplar.catalog.tables import OutcomeRow, TimeRow
from xemplar.data.outcomes import Diagnosis, Outcome, Proof
from xemplar.errors import InvalidArgument

CANCER = Outcome(Diagnosis.LUNG_CANCER, Proof.BIOPSY, 12)
TB = Outcome(Diagnosis.TUBERCULOSIS, Proof.CT)


def case_id(number: int) -> str:
    return digest(number)[:16]


def rows(catalog: Catalog) -> list[int]:
    with reading(catalog.engine) as connection:
        counts = (select(func.count()).select_from(table) for table in (TimeRow, OutcomeRow))
        return [connection.scalar(count) or 0 for count in counts]


def test_a_course_comes_back_as_it_went_in(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, followup=3, day=40, outcomes=(TB, CANCER)), entry(2)])
    told, silent = the_case(catalog, 1), the_case(catalog, 2)
    assert (told.followup, told.day, told.shifted_day) == (3, 40, None)
    assert told.outcomes == (CANCER, TB)
    assert (silent.followup, silent.day, silent.outcomes) == (None, None, ())


def test_a_newer_table_replaces_what_it_tells_and_keeps_the_rest(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, followup=3, day=40, outcomes=(TB, CANCER))])
    catalog.add(ONE, [entry(1, day=41)])
    case = the_case(catalog, 1)
    assert (case.followup, case.day, case.outcomes) == (3, 41, (CANCER, TB))
    catalog.add(ONE, [], [(digest(1), entry(1, outcomes=(CANCER,)).description)])
    assert the_case(catalog, 1).outcomes == (CANCER,)
    catalog.add(ONE, [], [(digest(1), entry(1, outcomes=()).description)])
    assert the_case(catalog, 1).outcomes == ()


def test_a_plain_folder_tells_nothing_of_a_known_case(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, day=40, outcomes=(TB,))])
    again = entry(1, file=None, day=7, outcomes=())
    catalog.add(ONE, [again], [(digest(1), again.description)])
    case = the_case(catalog, 1)
    assert (case.day, case.outcomes) == (40, (TB,))


def test_a_change_tells_old_and_new_and_is_followed(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, day=40, outcomes=(TB,))])
    before = catalog.version()
    changed = catalog.describe(case_id(1), {"day": 40, "followup": 2, "outcomes": (CANCER,)})
    assert changed == {
        "followup": (None, 2),
        "outcomes": (
            [{"diagnosis": "Tuberculosis", "proof": "CT", "days": None}],
            [{"diagnosis": "Lung Cancer", "proof": "biopsy", "days": 12}],
        ),
    }
    assert catalog.described_ids(before).tolist() == [the_case(catalog, 1).id]
    assert catalog.describe(case_id(1), {"outcomes": (CANCER,)}) == {}
    catalog.describe(case_id(1), {"day": None, "outcomes": ()})
    case = the_case(catalog, 1)
    assert (case.followup, case.day, case.outcomes) == (2, None, ())


def test_a_change_that_cannot_be_changes_nothing(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, age=60, day=9_000, outcomes=(TB,))])
    early = Outcome(Diagnosis.PNEUMONIA, Proof.CT, -30_000)
    for fields in ({"age": 5}, {"sex": "F", "outcomes": (early,)}, {"outcomes": (TB, TB)}):
        with pytest.raises(InvalidArgument):
            catalog.describe(case_id(1), fields)
    case = the_case(catalog, 1)
    assert (case.age, case.sex, case.outcomes) == (60, None, (TB,))


def test_another_patient_has_other_times_and_the_outcome_stays(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, patient="a" * 16, followup=1, shifted_day=10**9, outcomes=(TB,))])
    catalog.describe(case_id(1), {"patient": "b" * 16, "day": 5})
    case = the_case(catalog, 1)
    assert (case.followup, case.day, case.shifted_day) == (None, 5, None)
    assert case.outcomes == (TB,)


def test_a_removed_case_leaves_nothing(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, day=40, outcomes=(TB, CANCER)), entry(2, day=1, outcomes=(TB,))])
    assert rows(catalog) == [2, 3]
    catalog.remove([case_id(1)])
    assert rows(catalog) == [1, 1]


def test_a_case_of_another_source_is_not_described(catalog: Catalog) -> None:
    catalog.add(ONE, [entry(1, outcomes=(TB,))])
    limited = catalog.bound(Access(sources=frozenset({"other"})))
    other = replace(entry(1, outcomes=()).description, source="other")
    limited.add(ONE, [], [(digest(1), other)])
    assert the_case(catalog, 1).outcomes == (TB,)
