"""From a protocol to a locked plan."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from xemplar_evaluator.readers.plan import Indexed, make_plan
from xemplar_evaluator.readers.protocol import read_protocol

from xemplar.errors import ConfigurationError, DatasetError
from xemplar.operations.study_plan import StudyPlan


@pytest.fixture
def plan(protocol_file: Path, indexed: Indexed) -> StudyPlan:
    return make_plan(read_protocol(protocol_file), indexed, "c", protocol_file.parent)


def test_the_films_are_of_different_patients_and_as_many_of_each_kind_as_asked_for(
    plan: StudyPlan, indexed: Indexed
) -> None:
    of_case = {case.case_id: case for case in indexed.cases}
    assert Counter(film.present for film in plan.films) == {True: 6, False: 6}
    for film in plan.films:
        assert of_case[film.case_id].labels["Effusion"] == film.present
    assert len({of_case[film.case_id].patient for film in plan.films}) == 12


def test_no_case_is_of_a_films_patient_and_wrong_ones_contradict_the_film(
    plan: StudyPlan, indexed: Indexed
) -> None:
    of_case = {case.case_id: case for case in indexed.cases}
    of_films = {of_case[film.case_id].patient for film in plan.films}
    for film in plan.films:
        for shown in film.cases.values():
            patients = [of_case[one].patient for one in shown]
            assert len(set(patients)) == 3
            assert not of_films & set(patients)
        assert all(of_case[one].labels["Effusion"] != film.present for one in film.cases["wrong"])


def test_similar_cases_are_the_most_similar_ones(plan: StudyPlan, indexed: Indexed) -> None:
    row = {case.case_id: n for n, case in enumerate(indexed.cases)}
    film = plan.films[0]
    cosines = indexed.vectors @ indexed.vectors[row[film.case_id]]
    shown = [cosines[row[one]] for one in film.cases["similar"]]
    assert shown == sorted(shown, reverse=True)
    films = {row[one.case_id] // 2 for one in plan.films}
    assert shown[0] == max(c for n, c in enumerate(cosines) if n // 2 not in films)


def test_each_reader_reads_each_film_once_a_session_and_in_every_arm(plan: StudyPlan) -> None:
    for sessions in plan.sessions.values():
        assert len(sessions) == 3
        for session in sessions:
            assert sorted(film for film, _ in session) == list(range(12))
        every = Counter(reading for session in sessions for reading in session)
        assert every == {(film, arm): 1 for film in range(12) for arm in range(3)}


def test_arms_are_balanced_within_a_session_by_the_finding(plan: StudyPlan) -> None:
    for sessions in plan.sessions.values():
        for session in sessions:
            counts = Counter((arm, plan.films[film].present) for film, arm in session)
            assert set(counts.values()) == {2}


def test_readers_read_in_different_orders(plan: StudyPlan) -> None:
    orders = {tuple(film for film, _ in sessions[0]) for sessions in plan.sessions.values()}
    assert len(orders) == 3


def test_the_seed_decides_the_plan_and_its_digest(protocol_file: Path, indexed: Indexed) -> None:
    protocol = read_protocol(protocol_file)
    folder = protocol_file.parent
    one, again = (make_plan(protocol, indexed, "c", folder) for _ in range(2))
    other = make_plan(protocol.model_copy(update={"seed": 5}), indexed, "c", folder)
    assert one.digest == again.digest != other.digest


def test_films_of_a_table_have_its_truth(protocol_file: Path, indexed: Indexed) -> None:
    names = [indexed.cases[n].case_id for n in (0, 2, 4, 6)]
    rows = "\n".join(f"{name},{n % 2}" for n, name in enumerate(names))
    (protocol_file.parent / "films.csv").write_text(f"case_id,present\n{rows}\n")
    text = protocol_file.read_text()
    protocol_file.write_text(text[: text.index("[films]")] + '[films]\ntable = "films.csv"\n')
    plan = make_plan(read_protocol(protocol_file), indexed, "c", protocol_file.parent)
    assert [(film.case_id, film.present) for film in plan.films] == [
        (name, n % 2 == 1) for n, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("0000000000000000,yes", "present is 'yes'"),
        ("ffffffffffffffff,1", "no indexed case"),
        ("0000000000000000,1\n0000000000000000,1", "listed twice"),
        ("0000000000000000,1\n0000000000000001,0", "2 films with the finding"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    protocol_file: Path, indexed: Indexed, rows: str, told: str
) -> None:
    (protocol_file.parent / "films.csv").write_text(f"case_id,present\n{rows}\n")
    text = protocol_file.read_text()
    protocol_file.write_text(text[: text.index("[films]")] + '[films]\ntable = "films.csv"\n')
    with pytest.raises(DatasetError, match=told):
        make_plan(read_protocol(protocol_file), indexed, "c", protocol_file.parent)


def test_more_films_than_there_are_patients_are_refused(
    protocol_file: Path, indexed: Indexed
) -> None:
    protocol_file.write_text(protocol_file.read_text().replace("with = 6", "with = 16"))
    with pytest.raises(ConfigurationError, match="16 films with the finding were asked for"):
        make_plan(read_protocol(protocol_file), indexed, "c", protocol_file.parent)


def test_more_cases_than_other_patients_have_are_refused(
    protocol_file: Path, indexed: Indexed
) -> None:
    few = 26  # the films take 12 of the patients, and leave one
    less = replace(
        indexed,
        cases=indexed.cases[:few],
        present=indexed.present[:few],
        vectors=indexed.vectors[:few],
    )
    with pytest.raises(ConfigurationError, match="3 cases were asked for beside each film"):
        make_plan(read_protocol(protocol_file), less, "c", protocol_file.parent)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("cases = 3", "cases = 0", "cases: Input should be greater than or equal to 1"),
        ('"bob"', '"ada"', "readers name 'ada' twice"),
        ('"bob"', '"Dr Bob"', "readers.1: String should match"),
        ('cases = "none"', 'cases = "similar"', "the first arm has to be without cases"),
        ("with = 6", "with = 0", "name a table, or the numbers"),
        ("seed = 4", "sead = 4", "sead: Extra inputs are not permitted"),
        ('cases = "wrong"', 'cases = "random"', "'none', 'similar' or 'wrong'"),
        ("[films]", "[films", "is no TOML"),
    ],
)
def test_a_protocol_that_cannot_be_followed_is_refused(
    protocol_file: Path, old: str, new: str, told: str
) -> None:
    protocol_file.write_text(protocol_file.read_text().replace(old, new))
    with pytest.raises(ConfigurationError, match=told):
        read_protocol(protocol_file)
