"""Changes of a case's patient by a writer are few: with each it could try who a patient is."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from tests.xemplar.catalog.test_catalog import ONE, digest, entry
from xemplar.catalog import Access, Catalog
from xemplar.catalog import patients as limits
from xemplar.catalog.patients import CHANGES_OF_CASE, PERIOD
from xemplar.catalog.schema import writing
from xemplar.catalog.tables import PatientChangeRow
from xemplar.errors import TooManyPatientChanges

CASE = digest(1)[:16]


def named(number: int) -> dict[str, str]:
    return {"patient": f"{number:016}"}


@pytest.fixture
def ward(catalog: Catalog) -> Catalog:
    """The catalog as a writer sees it; with one case, of patient 0."""
    catalog.add(ONE, [entry(1, **named(0))])
    return catalog.bound(Access(writer="a" * 16))


def use_up(ward: Catalog, number: int = 1) -> None:
    for change in range(1, CHANGES_OF_CASE + 1):
        ward.describe(digest(number)[:16], named(change))


def test_a_case_is_given_so_many_patients_and_no_more(ward: Catalog) -> None:
    use_up(ward)
    with pytest.raises(
        TooManyPatientChanges, match=f"5 changes of the patient of case {CASE} within"
    ):
        ward.describe(CASE, named(6))
    assert ward.case(CASE).patient == named(CHANGES_OF_CASE)["patient"]
    ward.describe(CASE, {"sex": "F"})
    ward.describe(CASE, {"patient": None})


def test_the_refusal_does_not_tell_who_the_patient_is(ward: Catalog) -> None:
    use_up(ward)
    refused = []
    for patient in (named(CHANGES_OF_CASE), named(9)):
        with pytest.raises(TooManyPatientChanges) as error:
            ward.describe(CASE, patient)
        refused.append(str(error.value))
    assert refused[0] == refused[1]


def test_a_patient_named_again_is_no_change(ward: Catalog) -> None:
    for _ in range(2 * CHANGES_OF_CASE):
        ward.describe(CASE, named(0))
    use_up(ward)


def test_another_writer_has_no_changes_more_and_an_administrator_has_all(
    ward: Catalog, catalog: Catalog
) -> None:
    use_up(ward)
    with pytest.raises(TooManyPatientChanges):
        catalog.bound(Access(writer="b" * 16)).describe(CASE, named(7))
    for number in range(2 * CHANGES_OF_CASE):
        catalog.describe(CASE, named(number))


def test_removing_a_case_and_putting_it_in_again_is_no_way_around(ward: Catalog) -> None:
    for number in range(CHANGES_OF_CASE):
        ward.remove([CASE])
        ward.check_addition(entry(1, **named(number)))
        ward.add(ONE, [entry(1, **named(number))])
    ward.remove([CASE])
    for put in (ward.check_addition, lambda image: ward.add(ONE, [image])):
        with pytest.raises(TooManyPatientChanges):
            put(entry(1, **named(9)))
    assert ward.find(CASE) is None
    ward.add(ONE, [entry(1)])  # without a patient it may come


def test_a_key_changes_so_many_cases_and_puts_in_as_many_as_come(
    ward: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHANGES_OF_KEY", 3)
    ward.add(ONE, [entry(number, **named(number)) for number in range(2, 8)])
    for number in (2, 3, 4):
        ward.describe(digest(number)[:16], named(9))
    with pytest.raises(TooManyPatientChanges, match="3 changes of patients by one key"):
        ward.describe(digest(5)[:16], named(9))
    ward.add(ONE, [entry(8, **named(8))])


def test_after_a_day_changes_are_forgotten(ward: Catalog) -> None:
    use_up(ward)
    with writing(ward.engine) as connection:
        yesterday = datetime.now(UTC) - PERIOD - timedelta(seconds=1)
        connection.execute(update(PatientChangeRow).values(at=yesterday))
    ward.describe(CASE, named(8))
    with ward.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(PatientChangeRow)) == 1
