"""The report of a reader study whose truth is known."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.readers.plan import Indexed, make_plan
from xemplar_evaluator.readers.protocol import read_protocol
from xemplar_evaluator.readers.study import reader_study, readings_of
from xemplar_evaluator.section import Section

from xemplar.errors import DatasetError
from xemplar.operations.reader_studies import ReadingAnswer, StudyReading
from xemplar.operations.study_plan import StudyPlan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SKILL = {"without": 15.0, "similar": 40.0, "wrong": -10.0}
"""Points of confidence by which films with the finding get more than films without it."""


@pytest.fixture
def plan(protocol_file: Path, indexed: Indexed) -> StudyPlan:
    return make_plan(read_protocol(protocol_file), indexed, "c", protocol_file.parent)


def read_all(plan: StudyPlan) -> list[StudyReading]:
    """Readers who are better with similar cases, worse with wrong ones, and trust these less."""
    draw, given = np.random.default_rng(0), []
    for reader in plan.sessions:
        for number, (_, film, arm) in enumerate(plan.readings_of(reader)):
            towards = SKILL[arm.name] * (1 if film.present else -1)
            confidence = int(np.clip(50 + towards + draw.normal(0, 15), 0, 100))
            trust = None if arm.cases == "none" else 80 if arm.cases == "similar" else 30
            given.append(StudyReading(reader, number, ReadingAnswer(confidence, trust, 10.0), NOW))
    return given


def table(section: Section, name: str) -> list[list[object]]:
    (found,) = [one for one in section.tables if one.name == name]
    return [list(row) for row in found.rows]


def test_the_report_finds_what_the_cases_did(plan: StudyPlan) -> None:
    section = reader_study(plan, read_all(plan))
    first = table(section, "readers-differences")[0]
    assert first[:2] == ["similar - without", "readers and films"]
    assert first[2].value > 0  # type: ignore[attr-defined]
    similar, wrong = table(section, "readers-influence")
    assert similar[4].value > 10 > -10 > wrong[4].value  # type: ignore[attr-defined]
    assert wrong[2].value > similar[2].value  # type: ignore[attr-defined]
    assert "trust told similar cases from wrong ones with an AUC of 1.000" in " ".join(section.text)
    assert "3 readers, 12 films" in section.summary
    assert section.settings["plan"] == plan.digest
    assert section.pictures[0].data.startswith(b"\x89PNG")


def test_each_answer_is_kept_under_its_arm_reader_and_film(plan: StudyPlan) -> None:
    reader = list(plan.sessions)[1]
    _, film, arm = plan.readings_of(reader)[5]
    found = readings_of(plan, [StudyReading(reader, 5, ReadingAnswer(73, None, 4.0), NOW)])
    (place,) = np.argwhere(np.isfinite(found.confidence))
    assert found.confidence[tuple(place)] == 73
    assert found.arms[place[0]] == arm.name
    assert found.readers[place[1]] == reader
    assert found.films[place[2]] == film.case_id


def test_a_film_that_somebody_did_not_read_is_left_out_and_counted(plan: StudyPlan) -> None:
    section = reader_study(plan, read_all(plan)[1:])
    assert "1 of 12 films were not read by all readers" in " ".join(section.text)
    assert "11 films" in section.summary


def test_a_study_that_has_only_begun_says_how_far_it_is(plan: StudyPlan) -> None:
    with pytest.raises(DatasetError, match="36 of 108 readings"):
        reader_study(plan, read_all(plan)[:36])
    with pytest.raises(DatasetError, match="nobody has read"):
        reader_study(plan, [])
