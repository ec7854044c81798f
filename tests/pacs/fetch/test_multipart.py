"""The file in an answer of WADO-RS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xemplar_pacs.fetch.multipart import single_part

from xemplar.errors import UnreadableImage

KIND = 'multipart/related; type="application/dicom"; boundary="b 1"'


def envelope(file: bytes, headers: str = "Content-Type: application/dicom") -> bytes:
    return f"--b 1\r\n{headers}\r\n\r\n".encode() + file + b"\r\n--b 1--\r\n"


@given(st.binary(max_size=200).filter(lambda file: b"--b 1" not in file))
def test_a_file_comes_out_as_it_went_in(file: bytes) -> None:
    assert single_part(envelope(file), KIND) == file


def test_a_preamble_is_passed_over() -> None:
    assert single_part(b"preamble\r\n" + envelope(b"file"), KIND) == b"file"


def test_a_file_without_an_envelope_is_itself() -> None:
    assert single_part(b"file", "application/dicom; transfer-syntax=*") == b"file"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html>", "text/html"),
        (envelope(b"file"), "multipart/related"),
        (envelope(b"file"), KIND.replace("b 1", "c")),
        (envelope(b"file")[:-9], KIND),
        (envelope(b"file", "Content-Type: image/jpeg"), KIND),
        (b"--b 1\r\nContent-Type: application/dicom", KIND),
        (b"", KIND),
        (b"", ""),
    ],
)
def test_anything_else_is_refused(content: bytes, kind: str) -> None:
    with pytest.raises(UnreadableImage, match="no DICOM file"):
        single_part(content, kind)
