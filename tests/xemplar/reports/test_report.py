"""Reports are read by their headings, and refused if they are no plain text."""

from pathlib import Path

import pytest

from xemplar.errors import DatasetError, InvalidArgument
from xemplar.reports.openi import read_openi
from xemplar.reports.report import MOST_CHARACTERS, ReceivedReport, StoredReport, decoded

WHOLE = """EXAM: Chest, 12 May 2019
INDICATION: Mary Kowalski, 57, cough
COMPARISON: film of Springfield
FINDINGS: Small left effusion.
No pneumothorax.

IMPRESSION:
1. Effusion.
ELECTRONICALLY SIGNED: Dr. Long
"""


def test_findings_and_impression_are_read_and_the_other_sections_are_not() -> None:
    report = ReceivedReport.read(WHOLE)
    assert report == ReceivedReport("Small left effusion.\nNo pneumothorax.", "1. Effusion.")


def test_a_text_without_headings_is_all_findings() -> None:
    assert ReceivedReport.read("No effusion.") == ReceivedReport("No effusion.")


def test_line_ends_of_other_systems_are_read() -> None:
    assert ReceivedReport.read(WHOLE.replace("\n", "\r\n")) == ReceivedReport.read(WHOLE)


def test_a_section_of_which_nothing_remains_is_empty() -> None:
    assert ReceivedReport("Mary Kowalski.", "No effusion.").scrubbed() == StoredReport(
        "", "No effusion."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * (MOST_CHARACTERS + 1), "20,001 characters; the limit is 20,000"),
        ("No\x00effusion", r"U\+0000 at position 3"),
        ("No \u202eeffusion", r"U\+202E"),
        ("No \ud800", r"U\+D800"),
        ("Ergu\ufffd", "encoding"),
        ("<p>No effusion</p>", "markup at position 1"),
        ("x <img src=x onerror=alert(1)>", "markup at position 3"),
        ("<!-- -->", "markup"),
        ("<script", "markup"),
    ],
)
def test_what_is_no_plain_text_is_refused_without_repeating_it(text: str, message: str) -> None:
    for use in (ReceivedReport.read, lambda text: ReceivedReport(impression=text).scrubbed()):
        with pytest.raises(InvalidArgument, match=message) as refused:
            use(text)
        assert text not in str(refused.value)


def test_less_than_signs_are_no_markup() -> None:
    assert ReceivedReport("nodule < 2 cm > 1 cm").scrubbed().findings == "nodule < 2 cm > 1 cm"


def test_a_text_of_another_language_is_refused() -> None:
    german = "Der Herzschatten ist normal breit, keine Infiltrate, kein Erguss, keine Stauung."
    with pytest.raises(InvalidArgument, match="English"):
        ReceivedReport(german).scrubbed()


def test_a_file_of_another_encoding_is_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidArgument, match=r"byte 5.*iconv"):
        decoded("Erguß".encode("cp1252"), "the file")


def test_open_i_s_report_names_its_images(tmp_path: Path) -> None:
    file = tmp_path / "1.xml"
    file.write_text(
        '<a><AbstractText Label="FINDINGS">No <b>new</b> edema.</AbstractText>'
        '<AbstractText Label="INDICATION">Mary</AbstractText><parentImage id="CXR1"/></a>'
    )
    read = read_openi(file)
    assert read.images == ("CXR1",)
    assert read.report == ReceivedReport(findings="No new edema.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<a>", "well-formed"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "entities"),
        (b"<a>" + b" " * 400_000, "bytes"),
    ],
)
def test_other_xml_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "1.xml"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_openi(file)
