"""Of the image's header, what a result needs is read, in whatever way it is written."""

import io

import pytest
from pydicom import dcmread
from xemplar_pacs.results.source import read_source

from tests.images import drawn_image, encoded
from tests.pacs.films import ELSEWHERE, IDENTITY, STUDY, cr_film, film
from xemplar.errors import UnreadableImage, UnsupportedImage

IMAGE = drawn_image(1)


def test_reads_patient_study_and_size() -> None:
    source = read_source(film(IMAGE))
    read = {keyword: str(source.header[keyword].value) for keyword in IDENTITY}
    assert read == IDENTITY
    assert source.header.StudyInstanceUID == STUDY
    assert (source.rows, source.columns) == IMAGE.shape


def test_reads_nothing_else() -> None:
    source = read_source(cr_film(IMAGE))
    assert not [keyword for keyword in ELSEWHERE if keyword in source.header]
    assert "PixelData" not in source.header


def test_shows_nobody_in_its_representation() -> None:
    assert "PLANTED" not in repr(read_source(film(IMAGE))).upper()


@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
)
def test_refuses_an_image_that_nothing_can_refer_to(keyword: str) -> None:
    data = io.BytesIO()
    header = dcmread(io.BytesIO(film(IMAGE)))
    delattr(header, keyword)
    header.save_as(data)
    with pytest.raises(UnsupportedImage, match=f"{keyword} in the DICOM header is missing"):
        read_source(data.getvalue())


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_refuses_a_uid_that_is_none_without_quoting_it() -> None:
    with pytest.raises(UnsupportedImage, match="is not a UID of digits and dots") as refusal:
        read_source(film(IMAGE, StudyInstanceUID="PLANTED^1"))
    assert "PLANTED" not in str(refusal.value)


def test_refuses_a_private_class() -> None:
    with pytest.raises(UnsupportedImage, match="no class of projection radiographs"):
        read_source(film(IMAGE, SOPClassUID="1.2.3"))


def test_refuses_a_picture() -> None:
    with pytest.raises(UnreadableImage, match="belongs to no study"):
        read_source(encoded(IMAGE))


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDate", "08.07.1956"),
        ("PatientSex", "W"),
        ("StudyTime", "noon"),
        ("PatientID", ""),
        ("PatientID", None),
        ("PatientName", None),
        ("StudyDate", None),
    ],
)
def test_leaves_empty_what_is_missing_or_has_no_meaning(keyword: str, value: str | None) -> None:
    source = read_source(film(IMAGE, **{keyword: value}))
    assert keyword in source.header
    assert not source.header[keyword].value


CHARACTER_SETS: dict[str, tuple[str | list[str], str]] = {
    "Latin": ("ISO_IR 100", "Müller^Jürgen"),
    "Greek": ("ISO_IR 126", "Διονυσιος"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "UTF-8": ("ISO_IR 192", "Müller=王^小东"),
}


@pytest.mark.parametrize("name", CHARACTER_SETS)
def test_reads_names_in_their_character_set(name: str) -> None:
    declared, written = CHARACTER_SETS[name]
    source = read_source(film(IMAGE, SpecificCharacterSet=declared, PatientName=written))
    assert str(source.header.PatientName) == written
    assert source.character_set == declared


@pytest.mark.parametrize(
    ("encoding", "character_set"), [("utf-8", "ISO_IR 192"), ("latin-1", None)]
)
def test_reads_names_of_an_undeclared_character_set(
    encoding: str, character_set: str | None
) -> None:
    bytes_of_name = "Müller".encode(encoding)
    stand_in = "M" + "x" * (len(bytes_of_name) - 5) + "ller"
    source = read_source(
        film(IMAGE, PatientName=stand_in).replace(stand_in.encode(), bytes_of_name)
    )
    assert str(source.header.PatientName) == "Müller"
    assert source.character_set == character_set


@pytest.mark.parametrize("declared", ["ISO_IR 100", None])
def test_reads_ascii_whatever_is_declared(declared: str | None) -> None:
    source = read_source(film(IMAGE, SpecificCharacterSet=declared))
    assert str(source.header.PatientName) == IDENTITY["PatientName"]
    assert source.character_set == declared
