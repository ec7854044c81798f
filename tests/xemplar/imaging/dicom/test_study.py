"""The UID of an image's study, which references alone read."""

import pytest

from tests.images import dicom, drawn_image, encoded
from xemplar.errors import UnreadableImage
from xemplar.imaging.dicom.study import study_uid


@pytest.mark.parametrize("uid", ["1.2.3", "2.25." + "9" * 30])
def test_the_uid_is_read(uid: str) -> None:
    assert study_uid(dicom(drawn_image(1), StudyInstanceUID=uid)) == uid


def test_none_is_read_where_none_is() -> None:
    assert study_uid(dicom(drawn_image(1))) is None
    assert study_uid(encoded(drawn_image(1))) is None
    assert study_uid(b"") is None


def test_what_is_no_uid_is_not_read() -> None:
    whole = dicom(drawn_image(1), StudyInstanceUID="1.2.3.4.5")
    assert study_uid(whole.replace(b"1.2.3.4.5\0", b"1.2.03.4.5")) == "1.2.03.4.5"
    for wrong in (b"1.2/3.4.5 ", b"Pla^nted  ", b"          "):
        assert study_uid(whole.replace(b"1.2.3.4.5\0", wrong)) is None


def test_a_damaged_header_is_told() -> None:
    with pytest.raises(UnreadableImage):
        study_uid(dicom(drawn_image(1), StudyInstanceUID="1.2.3")[:150])
