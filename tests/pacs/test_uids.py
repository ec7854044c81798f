"""The same result has the same UID, another result another one."""

import uuid
from dataclasses import replace

import pytest
from xemplar_pacs.results.source import read_source
from xemplar_pacs.results.uids import derived_uid, result_uid

from tests.images import drawn_image
from tests.pacs.conftest import Asked
from tests.pacs.films import film


def test_is_a_uuid_of_version_8() -> None:
    root, number = derived_uid("a", "b").rsplit(".", 1)
    assert root == "2.25"
    found = uuid.UUID(int=int(number))
    assert (found.version, found.variant) == (8, uuid.RFC_4122)


def test_depends_on_where_a_text_ends() -> None:
    assert derived_uid("ab", "c") != derived_uid("a", "bc")


def test_of_a_repetition_is_the_same_though_a_router_changed_the_header(asked: Asked) -> None:
    source = read_source(asked.data)
    changed = read_source(film(drawn_image(50, 360, 280), StationName="ELSEWHERE", StudyID="9"))
    again = replace(asked.answer, query_id="f" * 16, image_id="0" * 16, timings_ms={})
    assert result_uid(changed, again, "picture") == result_uid(source, asked.answer, "picture")


def test_of_another_study_image_kind_or_answer_is_another(asked: Asked) -> None:
    source, answer = read_source(asked.data), asked.answer
    assert answer.pixels is not None
    turned = replace(answer.pixels, image=answer.image[::-1])
    pixels = drawn_image(50, 360, 280)
    study = read_source(film(pixels, StudyInstanceUID="1.2.9"))
    instance = read_source(film(pixels, SOPInstanceUID="1.2.8"))
    others = {
        result_uid(source, answer, "picture"),
        result_uid(source, answer, "report"),
        result_uid(study, answer, "picture"),
        result_uid(instance, answer, "picture"),
        result_uid(source, replace(answer, pixels=turned), "picture"),
        result_uid(source, replace(answer, generation="another"), "picture"),
        result_uid(source, replace(answer, explained="Mass"), "picture"),
        result_uid(source, replace(answer, neighbours=answer.neighbours[:2]), "picture"),
        result_uid(source, replace(answer, counter_examples=()), "picture"),
    }
    assert len(others) == 9


def test_of_another_version_is_another(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    source = read_source(asked.data)
    before = result_uid(source, asked.answer, "picture")
    monkeypatch.setattr("xemplar.__version__", "99.0")
    assert result_uid(source, asked.answer, "picture") != before
