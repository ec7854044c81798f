"""DICOM: header attributes, and which of them are kept."""

import io
import json
import pickle
import re
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from tests.images import dicom, written
from tests.xemplar.imaging.samples import IMAGE, code
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.mark.parametrize(
    ("written", "view"),
    [("PA", "PA"), ("AP", "AP"), ("ll ", "LL"), ("LATERAL", "LATERAL"), ("AP SUPINE", "AP"),
     ("PA OBLIQUE", "OBLIQUE"), ("LLAT", "LL"), ("RAO", "OBLIQUE"), ("seitlich", "LATERAL"),
     ("axial", "AXIAL"), ("", None), ("DOE JOHN", None)],
)  # fmt: skip
def test_the_view_is_one_of_the_known_words_or_none(written: str, view: str | None) -> None:
    assert decode(dicom(IMAGE, ViewPosition=written)).view == view


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"BodyPartExamined": "HAND"}, "shows HAND, not a chest"),
        ({"ViewPosition": "LL"}, "the view is LL; the network knows frontal images"),
        ({"BurnedInAnnotation": "YES"}, "text is burnt into the picture; it may name the patient"),
        ({"ViewPosition": "DOE JOHN"}, "is none of the known views, so the view counts as unknown"),
    ],
)
def test_what_a_header_says_against_an_image_is_told(fields: dict[str, str], said: str) -> None:
    (warning,) = decode(dicom(IMAGE, **fields)).warnings
    assert said in warning
    assert "DOE" not in warning


@pytest.mark.parametrize(
    ("written", "told"), [("YES", True), (" yes ", True), ("NO", False), ("", False)]
)
def test_burnt_in_text_is_told_however_it_is_written(written: str, told: bool) -> None:
    assert decode(dicom(IMAGE, BurnedInAnnotation=written)).burned_in is told


@pytest.mark.parametrize(
    "fields",
    [
        {"BodyPartExamined": "CHEST", "ViewPosition": "PA", "BurnedInAnnotation": "NO"},
        {"BodyPartExamined": "RIBCAGE"},
        {"BodyPartExamined": "JANE DOE"},
        {},
    ],
)
def test_a_header_of_a_frontal_chest_image_gives_no_warning(fields: dict[str, str]) -> None:
    assert decode(dicom(IMAGE, **fields)).warnings == ()


def long_code(value: str) -> list[Dataset]:
    """A code that is told by LongCodeValue (PS3.3 8.1)."""
    item = Dataset()
    item.LongCodeValue, item.CodingSchemeDesignator = value, "SCT"
    return [item]


# Values of PS3.16 CID 4010, in SNOMED CT and in the older SRT
@pytest.mark.parametrize(
    ("codes", "view"),
    [
        (code("399067008"), "LATERAL"),
        (code("399173006"), "LL"),
        (code("399198007"), "RL"),
        (code("399348003"), "AP"),
        (code("272479007"), "PA"),
        (code("R-10206", "SRT"), "AP"),
        (code("399135007"), "OBLIQUE"),
        (code("399061009"), "AXIAL"),
        (long_code("399067008"), "LATERAL"),
        (code("1", "99LOCAL", "lateral chest"), "LATERAL"),
        (code("1", "99LOCAL", "Doe, Jane"), None),
        ([Dataset()], None),
        ([], None),
    ],
)
def test_the_view_may_be_said_by_code(codes: list[Dataset], view: str | None) -> None:
    image = decode(dicom(IMAGE, ViewCodeSequence=codes))
    assert image.view == view
    assert len(image.warnings) == (view not in ("PA", "AP", None))


@pytest.mark.parametrize("vr", [b"OB", b"UN", b"SQ"])
@pytest.mark.parametrize("keyword", ["ViewCodeSequence", "VOILUTSequence", "ModalityLUTSequence"])
def test_a_sequence_that_cannot_be_read_counts_as_absent(keyword: str, vr: bytes) -> None:
    header = dcmread(io.BytesIO(dicom(IMAGE)))
    header.add_new(keyword, "OB", b"no items")
    data = written(header)
    place = data.index(b"OB\0\0\x08\0\0\0no items")
    image = decode(data[:place] + vr + data[place + 2 :])
    np.testing.assert_array_equal(image.pixels, IMAGE)


def test_a_code_for_another_view_is_told_beside_the_text() -> None:
    image = decode(dicom(IMAGE, ViewPosition="PA", ViewCodeSequence=code("399067008")))
    assert image.view == "PA"
    assert "the view is LATERAL" in image.warnings[0]


@pytest.mark.parametrize(
    ("orientation", "view", "said"),
    [
        (["L", "F"], None, None),
        (["L", "FP"], None, None),
        (["P", "F"], "LATERAL", "the view is LATERAL"),
        (["A", "F"], "LATERAL", "the view is LATERAL"),
        (["AR", "F"], "LATERAL", "the view is LATERAL"),
        (["R", "F"], None, r"is mirrored .patient orientation R\\F; an upright .* has L\\F"),
        (["L", "H"], None, "mirrored"),
        (["R", "H"], None, "upside down"),
        (["F", "R"], None, "on its side"),
        (["F", "L"], None, "mirrored"),
        (["DOE", "JANE"], None, None),
        ("", None, None),
    ],
)
def test_the_orientation_of_the_patient_is_heard(
    orientation: Any, view: str | None, said: str | None
) -> None:
    image = decode(dicom(IMAGE, PatientOrientation=orientation))
    assert image.view == view
    assert [bool(re.search(said, warning)) for warning in image.warnings if said] == [True] * bool(
        said
    )


def test_an_animal_is_told_and_its_letters_are_not_taken_for_a_person_s() -> None:
    animal = {"AnatomicalOrientationType": "QUADRUPED", "PatientOrientation": ["R", "D"]}
    [warning] = decode(dicom(IMAGE, **animal)).warnings
    assert "an animal" in warning


@pytest.mark.parametrize(
    "fields",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"},
    ],
)
def test_an_image_for_processing_is_told(fields: dict[str, str]) -> None:
    [warning] = decode(dicom(IMAGE, **fields)).warnings
    assert "for processing, not for presentation" in warning


def test_an_image_travels_between_processes() -> None:
    image = decode(dicom(IMAGE, BodyPartExamined="HAND", PatientAge="040Y", PatientSex="F"))
    other = pickle.loads(pickle.dumps(image))  # noqa: S301 - ours
    np.testing.assert_array_equal(other.pixels, image.pixels)
    assert (other.body_part, other.age, other.sex) == ("HAND", 40, "F")


def test_the_pixel_spacing_is_kept() -> None:
    assert decode(dicom(IMAGE, PixelSpacing=["0.15", "0.2"])).spacing_mm == (0.15, 0.2)


def test_the_spacing_at_the_detector_is_the_second_choice() -> None:
    assert decode(dicom(IMAGE, ImagerPixelSpacing=["0.1", "0.1"])).spacing_mm == (0.1, 0.1)


@pytest.mark.parametrize("spacing", [["0", "0"], ["-1", "1"], ["NaN", "1"], ["Infinity", "1"]])
def test_a_spacing_that_cannot_be_is_unknown(spacing: list[str]) -> None:
    assert decode(dicom(IMAGE, PixelSpacing=spacing)).spacing_mm is None


@pytest.mark.parametrize(
    ("written", "sex"), [("F", "F"), ("m ", "M"), ("O", None), ("", None), ("FEMALE DOE", None)]
)
def test_the_sex_is_female_male_or_unknown(written: str, sex: str | None) -> None:
    assert decode(dicom(IMAGE, PatientSex=written)).sex == sex


@pytest.mark.parametrize(
    ("written", "years"),
    [("040Y", 40), ("018M", 1), ("012W", 0), ("104W", 1), ("100D", 0), ("731D", 2), ("120Y", 120),
     ("121Y", None), ("", None), ("40", None), ("Y040", None)],
)  # fmt: skip
def test_the_age_is_in_whole_years_or_unknown(written: str, years: int | None) -> None:
    image = decode(dicom(IMAGE, PatientAge=written, PatientBirthDate="19610203"))
    assert image.age == years


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"BodyPartExamined": "HAND"}, "HAND"),
        ({"BodyPartExamined": "CHEST"}, None),
        ({"BodyPartExamined": "JANE DOE"}, None),
        ({"BodyPartExamined": "LEFT KNEES"}, "KNEE"),
        ({"BodyPartExamined": "CHESTABDOMEN"}, None),
        ({"AnatomicRegionSequence": code("30021000", meaning="Lower leg")}, "LEG"),
        ({"AnatomicRegionSequence": code("T-D8700", "SRT")}, "HAND"),
        ({"AnatomicRegionSequence": code("1", "99LOCAL", "Right hip")}, "HIP"),
        ({"AnatomicRegionSequence": code("816094009", meaning="Chest")}, None),
        ({"AnatomicRegionSequence": code("T-D3000", "SRT")}, None),
        ({"AnatomicRegionSequence": []}, None),
        ({"AnatomicRegionSequence": code("15776009", meaning="Pancreas")}, "PANCREAS"),
        ({"BodyPartExamined": "HEADNECK"}, "HEAD"),
        ({"BodyPartExamined": "LOWERLEGS"}, "LEG"),
        ({"BodyPartExamined": "LOW_EXM"}, "EXTREMITY"),
        ({"BodyPartExamined": "Knie re."}, "KNEE"),
        ({"BodyPartExamined": "GENOU"}, "KNEE"),
        ({"BodyPartExamined": "T\u00d3RAX"}, None),
        ({"BodyPartExamined": "H\u00fcfte"}, "HIP"),
        ({"BodyPartExamined": "RIB CAGES"}, None),
        ({"BodyPartExamined": "CHEST", "AnatomicRegionSequence": code("T-D8700", "SRT")}, "HAND"),
    ],
)
def test_another_part_of_the_body_is_named_by_text_or_code(
    fields: dict[str, Any], part: str | None
) -> None:
    image = decode(dicom(IMAGE, **fields))
    assert image.body_part == part
    assert [part in warning for warning in image.warnings if part] == [True] * bool(part)


IDENTITY = {
    "PatientName": "Doe^Jane",
    "PatientID": "MRN-778812",
    "PatientBirthDate": "19610203",
    "PatientSex": "F",
    "PatientAddress": "12 Harley Street",
    "OtherPatientNames": "Roe^Jane",
    "AccessionNumber": "ACC551",
    "InstitutionName": "St Elsewhere",
    "ReferringPhysicianName": "Grey^Meredith",
    "StudyDate": "20240717",
    "StudyInstanceUID": "1.2.840.99.1",
    "SeriesInstanceUID": "1.2.840.99.2",
    "StudyDescription": "chest of Jane Doe",
    "DeviceSerialNumber": "SN4711",
    "ViewPosition": "DOE^JANE",
}


def test_no_field_of_the_radiograph_holds_anything_of_the_patient() -> None:
    image = decode(dicom(IMAGE, **IDENTITY))
    fields = {name: value for name, value in asdict(image).items() if name != "pixels"}
    text = json.dumps(fields).upper()
    assert [
        name for name, value in IDENTITY.items() if value.upper() in text and len(value) > 1
    ] == []
    assert set(fields) == {
        "source_size", "sha256", "format", "view", "photometric", "spacing_mm", "body_part",
        "burned_in", "sex", "age", "warnings", "deep",
    }  # fmt: skip
