"""All results of a film: in its study, under its patient, and the same when repeated."""

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom._dicom_dict import DicomDictionary
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from xemplar_pacs.results.objects import MOST_CASES, TEXT_VRS, ResultObject

from tests.images import drawn_image
from tests.pacs.conftest import AT, Asked, ask
from tests.pacs.films import ELSEWHERE, IDENTITY, STUDY, cr_film, film
from tests.pacs.test_source import CHARACTER_SETS
from xemplar.errors import InvalidArgument, NotFound
from xemplar.retrieval.retriever import Retriever

IMAGE = drawn_image(50)


def read(results: tuple[ResultObject, ...]) -> list[Dataset]:
    return [dcmread(BytesIO(one.data)) for one in results]


def test_are_a_picture_and_a_report(asked: Asked) -> None:
    kinds = [(one.kind, one.file_name) for one in asked.results()]
    assert kinds == [
        ("secondary capture", "secondary-capture.dcm"),
        ("structured report", "structured-report.dcm"),
    ]


def test_say_their_own_uids(asked: Asked) -> None:
    for one, written in zip(asked.results(), read(asked.results()), strict=True):
        assert (one.sop_class, one.uid) == (written.SOPClassUID, written.SOPInstanceUID)
        assert written.file_meta.MediaStorageSOPInstanceUID == one.uid


def test_have_the_patient_and_the_study_of_the_image(asked: Asked) -> None:
    for one in read(asked.results()):
        assert one.StudyInstanceUID == STUDY
        assert {keyword: str(one[keyword].value) for keyword in IDENTITY} == IDENTITY


def test_have_nothing_else_that_the_header_said(asked: Asked) -> None:
    for one in asked.results():
        for value in ELSEWHERE.values():
            assert value.encode() not in one.data


def test_have_nothing_of_any_text_that_is_not_of_the_patient_or_the_study(
    retriever: Retriever,
) -> None:
    texts = [
        keyword
        for tag, (vr, *_, keyword) in DicomDictionary.items()
        if vr in TEXT_VRS and keyword not in IDENTITY and tag >= 0x00080000
    ]
    assert len(texts) > 500
    said = {keyword: f"SECRET {n}" for n, keyword in enumerate(texts)}
    for one in ask(retriever, film(IMAGE, **said)).results():
        assert b"SECRET" not in one.data


def test_show_nobody_in_their_representation(asked: Asked) -> None:
    assert "PLANTED" not in repr(asked.results()).upper()


def test_leave_nothing_of_the_patient_in_store_database_or_log(
    retriever: Retriever, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        ask(retriever, film(IMAGE)).results()
    kept = b"".join(path.read_bytes() for path in retriever.store.root.rglob("*") if path.is_file())
    for value in (*IDENTITY.values(), *ELSEWHERE.values(), STUDY):
        if len(value) > 1:  # a sex is no identity
            assert value.encode() not in kept
            assert value not in caplog.text


def test_are_the_same_bytes_when_repeated(asked: Asked) -> None:
    assert [one.data for one in asked.made_anew()] == [one.data for one in asked.results()]


def test_are_the_same_objects_at_another_time(asked: Asked) -> None:
    later = asked.made_anew(AT + timedelta(hours=3))
    assert [one.uid for one in later] == [one.uid for one in asked.results()]
    for before, after in zip(read(asked.results()), read(later), strict=True):
        assert before.ContentTime != after.ContentTime
        assert before.get("PixelData") == after.get("PixelData")


def test_are_dated_in_the_time_zone_of_the_image(retriever: Retriever) -> None:
    asked = ask(retriever, film(IMAGE, TimezoneOffsetFromUTC="-0330"))
    for one in read(asked.made_anew(datetime(2026, 1, 1, 2, 0, tzinfo=UTC))):
        assert (one.ContentDate, one.ContentTime) == ("20251231", "223000")
        assert one.TimezoneOffsetFromUTC == "-0330"


def test_need_a_time_with_a_time_zone(asked: Asked) -> None:
    with pytest.raises(InvalidArgument, match="has no time zone"):
        asked.made_anew(datetime(2026, 1, 1))  # noqa: DTZ001


def test_hold_a_limited_number_of_cases(asked: Asked) -> None:
    many = asked.answer.neighbours[:1] * (MOST_CASES + 1)
    with pytest.raises(InvalidArgument, match=f"at most {MOST_CASES}"):
        replace(asked, answer=replace(asked.answer, neighbours=many)).results()


def test_are_not_made_of_another_checkpoints_answer(asked: Asked) -> None:
    other = replace(asked, answer=replace(asked.answer, checkpoint="0" * 64))
    with pytest.raises(NotFound):
        other.results()


@pytest.mark.parametrize("name", CHARACTER_SETS)
def test_have_names_in_their_character_set(retriever: Retriever, name: str) -> None:
    declared, written = CHARACTER_SETS[name]
    fields = {"SpecificCharacterSet": declared, "PatientName": written}
    for one in read(ask(retriever, film(IMAGE, **fields)).results()):
        assert one.SpecificCharacterSet == declared
        assert str(one.PatientName) == written


def test_are_in_utf_8_where_a_label_needs_it(retriever: Retriever) -> None:
    fields = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller"}
    asked = ask(retriever, film(IMAGE, **fields))
    near = asked.answer.neighbours[0]
    labelled = replace(near, case=replace(near.case, labels={"腫瘤": 1}))
    answer = replace(asked.answer, neighbours=(labelled,))
    report = replace(asked, answer=answer).result("structured report")
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == "Müller"
    assert "腫瘤" in str(report)


ODD: dict[str, dict[str, Any]] = {
    "no patient id": {"PatientID": None},
    "an empty patient id": {"PatientID": ""},
    "no name, no dates": {"PatientName": None, "PatientBirthDate": None, "StudyDate": None},
    "a laterality": {"ImageLaterality": "L", "Laterality": "R"},
    "no spacing": {"PixelSpacing": None, "ImagerPixelSpacing": None},
    "a secondary capture": {"SOPClassUID": SecondaryCaptureImageStorage},
    "another transfer syntax": {"TransferSyntaxUID": ImplicitVRLittleEndian},
    "another sex": {"PatientSex": "O"},
    "identity removed": {"PatientIdentityRemoved": "YES"},
}


@pytest.mark.parametrize("make", [film, cr_film])
@pytest.mark.parametrize("name", ODD)
def test_are_made_of_odd_headers(retriever: Retriever, make: Any, name: str) -> None:
    for one in read(ask(retriever, make(IMAGE, **ODD[name])).results()):
        assert one.StudyInstanceUID == STUDY
        assert one.PatientID == (ODD[name].get("PatientID", IDENTITY["PatientID"]) or "")
        if name == "identity removed":
            assert one.PatientIdentityRemoved == "YES"


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.filterwarnings("ignore:The number of PN components")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientBirthDate", "1956-07-08"), ("PatientID", "P" * 80), ("PatientName", "A=B=C=D^E")],
)
def test_quote_no_value_that_the_study_has_wrong(
    retriever: Retriever, keyword: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = film(IMAGE, **{keyword: value})
    caplog.clear()  # what making it said
    with caplog.at_level(logging.DEBUG):
        results = ask(retriever, data).results()
    assert value not in caplog.text
    assert STUDY not in caplog.text
    made = read(results)
    assert {str(one[keyword].value or "") for one in made} <= {value, ""}
