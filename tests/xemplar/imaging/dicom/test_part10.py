"""DICOM: files that do not conform to PS3.10."""

import io
import warnings

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.images import dicom
from tests.xemplar.imaging.samples import IMAGE, refused
from xemplar.errors import InputError
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

FILE = dicom(IMAGE)
DATA_SET = 144 + int.from_bytes(FILE[140:144], "little")
"""Where the data set begins, after the file meta information."""


def encoded_as(syntax: str) -> bytes:
    """The bare data set in another transfer syntax."""
    header = dcmread(io.BytesIO(FILE))
    del header.file_meta
    header.preamble = None
    file = io.BytesIO()
    little = syntax != ExplicitVRBigEndian
    implicit = syntax == ImplicitVRLittleEndian
    dcmwrite(file, header, implicit_vr=implicit, little_endian=little, force_encoding=True)
    return file.getvalue()


def without_syntax() -> bytes:
    header = dcmread(io.BytesIO(FILE))
    del header.file_meta.TransferSyntaxUID
    file = io.BytesIO()
    header.save_as(file, implicit_vr=False, little_endian=True)
    return file.getvalue()


EXPLICIT, IMPLICIT = b"\x14\x001.2.840.10008.1.2.1\0", b"\x12\x001.2.840.10008.1.2\0"

LACKING = {
    "no preamble, no prefix": FILE[132:],
    "a preamble without its prefix": FILE[:128] + FILE[132:],
    "a preamble of text without its prefix": b"\n" * 128 + FILE[132:],
    "a prefix without its preamble": FILE[128:],
    "a preamble of another kind of file": b"II*\0" + FILE[4:],
    "no file meta information": FILE[:132] + FILE[DATA_SET:],
    "a bare data set, implicit": encoded_as(ImplicitVRLittleEndian),
    "a bare data set, explicit": encoded_as(ExplicitVRLittleEndian),
    "a bare data set, big endian": encoded_as(ExplicitVRBigEndian),
    "a preamble before a bare data set": bytes(128) + encoded_as(ImplicitVRLittleEndian),
    "no transfer syntax": without_syntax(),
    "explicit, and says implicit": FILE.replace(EXPLICIT, IMPLICIT),
    "a group length that is wrong": FILE[:140] + b"\xff\0\0\0" + FILE[144:],
    "a group length of 0": FILE[:140] + bytes(4) + FILE[144:],
    "zeros behind its end": FILE + bytes(1000),
    "noise behind its end": FILE + b"\xff" * 77,
}


@pytest.mark.parametrize("data", LACKING.values(), ids=LACKING)
def test_an_image_is_read_whatever_its_file_lacks(data: bytes) -> None:
    image = decode(data)
    np.testing.assert_array_equal(image.pixels, IMAGE)
    assert (image.format, image.photometric) == ("DICOM", "MONOCHROME2")


@pytest.mark.parametrize("length", [133, 140, 200, 400])
def test_a_file_that_ends_within_its_header_is_rejected(length: int) -> None:
    refused(FILE[:length], InputError, "no image can be read|cut short|rows|damaged|no pixel")


def test_noise_behind_the_end_of_a_big_endian_image_is_not_read() -> None:
    image = decode(bytes(128) + encoded_as(ExplicitVRBigEndian) + b"\xff" * 1000)
    np.testing.assert_array_equal(image.pixels, IMAGE)


@pytest.mark.parametrize(
    "data",
    [
        FILE.replace(EXPLICIT, b"\x14\x001.2.DOE^JANE.1.2.1\0\0"),
        FILE.replace(EXPLICIT, IMPLICIT),
        FILE + b"\xff" * 1000,
    ],
    ids=["no UID", "another syntax", "noise behind its end"],
)
def test_nothing_of_a_file_is_told_but_by_the_image(
    data: bytes, recwarn: pytest.WarningsRecorder
) -> None:
    warnings.simplefilter("always")
    np.testing.assert_array_equal(decode(data).pixels, IMAGE)
    assert not recwarn.list
