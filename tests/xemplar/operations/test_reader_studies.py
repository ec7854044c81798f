"""Reader studies in the database: locked, in order, never changed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.stores import SmallStore, small_store
from xemplar.catalog import Access, Catalog, open_catalog
from xemplar.catalog.schema import writing
from xemplar.catalog.tables import ReadingRow
from xemplar.errors import (
    ConfigurationError,
    CorruptArtefact,
    InvalidArgument,
    NotFound,
    ReadingGiven,
)
from xemplar.operations.reader_studies import ReaderStudies, ReadingAnswer
from xemplar.operations.study_plan import Arm, StudyFilm, StudyPlan

WITHOUT, WRONG = Arm(name="without", cases="none"), Arm(name="wrong", cases="wrong")
SAID = ReadingAnswer(80, None, 12.5)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> SmallStore:
    return small_store(tmp_path_factory.mktemp("small"), tiny_checkpoint)


@pytest.fixture
def catalog(built: SmallStore, tmp_path: Path) -> Iterator[Catalog]:
    copy = tmp_path / "catalog.sqlite"
    copy.write_bytes((built.store.root / "catalog.sqlite").read_bytes())
    with open_catalog(f"sqlite:///{copy}") as opened:
        yield opened


@pytest.fixture
def studies(catalog: Catalog) -> ReaderStudies:
    return ReaderStudies(catalog.engine)


def plan(catalog: Catalog, **changes: Any) -> StudyPlan:
    """Two films, without cases in the first session and with one wrong case in the second."""
    ids = [case.case_id for case in catalog.cases(range(1, 4)).values()]
    films = [
        StudyFilm(case_id=one, present=n == 0, cases={"wrong": (ids[2],)})
        for n, one in enumerate(ids[:2])
    ]
    content = {
        "title": "Study",
        "question": "Is there an effusion?",
        "finding": "Effusion",
        "ask_trust": True,
        "washout_days": 0,
        "protocol": {},
        "generation": "g",
        "checkpoint": "c",
        "arms": (WITHOUT, WRONG),
        "films": films,
        "sessions": {"ada": (((0, 0), (1, 0)), ((1, 1), (0, 1))), "bob": (((1, 0), (0, 0)),)},
    }
    return StudyPlan(**{**content, **changes})


def test_a_reader_reads_one_film_after_another_until_all_are_read(
    catalog: Catalog, studies: ReaderStudies
) -> None:
    made = plan(catalog)
    study = studies.open(made)
    read = []
    while (following := studies.next(study, "ada")).film is not None:
        assert following.number is not None
        assert following.arm is not None
        read.append(
            (following.session, following.film.case_id, following.arm.name, following.cases)
        )
        trust = 30 if following.cases else None
        studies.save(study, "ada", following.number, ReadingAnswer(70, trust, 3.0))
    first, second = (film.case_id for film in made.films)
    (case,) = made.films[0].cases["wrong"]
    assert read == [
        (0, first, "without", ()),
        (0, second, "without", ()),
        (1, second, "wrong", (case,)),
        (1, first, "wrong", (case,)),
    ]
    assert studies.counts(study) == {"ada": 4}
    assert [one.said.trust for one in studies.readings(study)] == [None, None, 30, 30]


def test_an_answer_cannot_be_changed_but_may_be_sent_again(
    catalog: Catalog, studies: ReaderStudies
) -> None:
    study = studies.open(plan(catalog))
    studies.save(study, "ada", 0, SAID)
    studies.save(study, "ada", 0, ReadingAnswer(80, None, 99.0))  # the answer to the first was lost
    with pytest.raises(ReadingGiven, match="reading 0 was given already"):
        studies.save(study, "ada", 0, ReadingAnswer(20, None, 12.5))
    (kept,) = studies.readings(study)
    assert kept.said == SAID


def test_films_are_read_in_their_order(catalog: Catalog, studies: ReaderStudies) -> None:
    study = studies.open(plan(catalog))
    with pytest.raises(ReadingGiven, match="the next one, which is 0"):
        studies.save(study, "ada", 1, SAID)


def test_the_next_session_opens_after_the_washout(catalog: Catalog, studies: ReaderStudies) -> None:
    study = studies.open(plan(catalog, washout_days=7))
    for number in (0, 1):
        studies.save(study, "ada", number, SAID)
    following = studies.next(study, "ada")
    assert following.opens_at is not None
    left = following.opens_at - datetime.now(UTC)
    assert timedelta(days=6.9) < left <= timedelta(days=7)
    with pytest.raises(InvalidArgument, match="after 7 days of washout"):
        studies.save(study, "ada", 2, ReadingAnswer(80, 10, 1.0))
    with writing(catalog.engine) as connection:  # a week later
        earlier = datetime.now(UTC) - timedelta(days=8)
        connection.execute(ReadingRow.__table__.update().values(read_at=earlier))  # type: ignore[attr-defined]
    assert studies.next(study, "ada").opens_at is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (ReadingAnswer(101, None, 1.0), "confidence is 101"),
        (ReadingAnswer(50, None, -1.0), "took -1 s"),
        (ReadingAnswer(50, 10, 1.0), "leave trust out"),
    ],
)
def test_an_answer_out_of_range_is_refused(
    catalog: Catalog, studies: ReaderStudies, said: ReadingAnswer, told: str
) -> None:
    study = studies.open(plan(catalog))
    with pytest.raises(InvalidArgument, match=told):
        studies.save(study, "ada", 0, said)
    assert studies.readings(study) == []


def test_trust_is_asked_for_where_cases_are_shown(catalog: Catalog, studies: ReaderStudies) -> None:
    study = studies.open(plan(catalog, sessions={"ada": (((0, 1),),)}))
    with pytest.raises(InvalidArgument, match="relied on the cases"):
        studies.save(study, "ada", 0, SAID)


def test_who_is_no_reader_of_the_study_is_told_so(catalog: Catalog, studies: ReaderStudies) -> None:
    study = studies.open(plan(catalog))
    with pytest.raises(NotFound, match="eve is no reader"):
        studies.next(study, "eve")
    with pytest.raises(NotFound, match="no reader study"):
        studies.next("0" * 16, "ada")


def test_a_film_that_was_removed_is_passed_over(catalog: Catalog, studies: ReaderStudies) -> None:
    made = plan(catalog)
    study = studies.open(made)
    catalog.remove([made.films[0].case_id])
    following = studies.next(study, "ada")
    assert following.film == made.films[1]
    assert following.number == 1


def test_films_beyond_a_callers_sources_do_not_exist(catalog: Catalog) -> None:
    study = ReaderStudies(catalog.engine).open(plan(catalog))
    bound = ReaderStudies(catalog.engine, Access(sources=frozenset(["elsewhere"])))
    assert bound.next(study, "ada").film is None


def test_a_plan_with_unknown_films_is_not_opened(catalog: Catalog, studies: ReaderStudies) -> None:
    strange = StudyFilm(case_id="0" * 16, present=True, cases={})
    with pytest.raises(ConfigurationError, match="1 of 1 films and cases"):
        studies.open(plan(catalog, films=(strange,), sessions={"ada": (((0, 0),),)}))


def test_opening_a_study_twice_keeps_its_readings(catalog: Catalog, studies: ReaderStudies) -> None:
    study = studies.open(plan(catalog))
    studies.save(study, "ada", 0, SAID)
    assert studies.open(plan(catalog)) == study
    assert len(studies.readings(study)) == 1


def test_a_plan_that_was_changed_is_refused(catalog: Catalog, studies: ReaderStudies) -> None:
    made = plan(catalog)
    changed = made.model_dump(mode="json") | {"question": "Is there a mass?"}
    with pytest.raises(CorruptArtefact, match="it was changed"):
        StudyPlan.from_json(changed, made.digest)
    assert StudyPlan.from_json(made.model_dump(mode="json"), made.digest) == made


def test_what_is_no_plan_is_refused_by_the_field() -> None:
    with pytest.raises(CorruptArtefact, match="title: Field required"):
        StudyPlan.from_json({})
