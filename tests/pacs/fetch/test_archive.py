"""The archive's DICOMweb service: what it refuses is told, and what passes is waited for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from xemplar_pacs.address import archive_address
from xemplar_pacs.fetch.archive import ArchiveImage, DicomWebArchive
from xemplar_pacs.fetch.query import fetch_query

from tests.pacs.web_archive import Answer, WebArchive
from xemplar.errors import ArchiveUnreachable, ConfigurationError, ImageTooLarge, XemplarError
from xemplar.imaging import Limits

ALL = fetch_query(["DX"])
IMAGE = ArchiveImage("1.2.3.1", "1.2.4.1", "1.2.5.1", "")


@pytest.fixture
def archive(web: WebArchive) -> Iterator[DicomWebArchive]:
    opened = DicomWebArchive(archive_address(web.url), waits=())
    yield opened
    opened.close()


def test_studies_are_told_with_modalities_and_number_of_images(archive: DicomWebArchive) -> None:
    (study,) = archive.studies(ALL, 2, 1)
    assert (study.uid, study.modalities, study.images) == ("1.2.3.2", {"DX"}, 1)


def test_a_file_is_that_of_the_archive_byte_for_byte(
    archive: DicomWebArchive, web: WebArchive
) -> None:
    assert archive.file(IMAGE) == web.films[1]


def test_no_representation_shows_a_uid(archive: DicomWebArchive) -> None:
    assert "1.2" not in f"{archive.studies(ALL, 0, 1)} {IMAGE}"


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        ((401, "text/plain", b""), ConfigurationError, "does not let this user in"),
        ((403, "text/plain", b""), ConfigurationError, "does not let this user in"),
        ((404, "text/plain", b""), ConfigurationError, "there is no DICOMweb service at"),
        ((302, "text/plain", b""), ConfigurationError, "leads elsewhere"),
        ((400, "text/plain", b""), ConfigurationError, "refuses to search by StudyDate"),
        ((413, "text/plain", b""), ConfigurationError, "narrow --dates"),
        ((503, "text/plain", b""), ArchiveUnreachable, "does not answer (503)"),
        ((200, "text/html", b"<html>"), ArchiveUnreachable, "does not answer in DICOM JSON"),
        ((200, "application/json", b"{}"), ArchiveUnreachable, ""),
        ((200, "application/json", b"[1]"), ArchiveUnreachable, "in DICOM JSON"),
    ],
)
def test_what_is_wrong_is_told(
    archive: DicomWebArchive, web: WebArchive, answer: Answer, kind: type[XemplarError], told: str
) -> None:
    web.fault = lambda _: answer
    if answer[2] == b"{}":
        assert archive.studies(ALL, 0, 1) == []
        return
    with pytest.raises(kind) as raised:
        archive.studies(fetch_query(["DX"], dates="20200101-"), 0, 1)
    assert told in str(raised.value)


def test_no_match_may_have_no_content(archive: DicomWebArchive, web: WebArchive) -> None:
    web.fault = lambda _: (204, "text/plain", b"")
    assert archive.studies(ALL, 0, 1) == []


def test_an_archive_that_is_away_for_a_while_is_waited_for(web: WebArchive) -> None:
    answers, waited = iter([503, 429, 504]), list[float]()
    web.fault = lambda _: (status, "text/plain", b"") if (status := next(answers, 0)) else None
    archive = DicomWebArchive(archive_address(web.url), waits=(1, 2, 4, 8), sleep=waited.append)
    assert archive.file(IMAGE) == web.films[1]
    assert waited == [1, 2, 4]
    archive.close()


def test_nobody_listening_is_unreachable(web: WebArchive) -> None:
    archive = DicomWebArchive(archive_address("http://127.0.0.1:1/dicom-web"), waits=())
    with pytest.raises(ArchiveUnreachable, match="ConnectError"):
        archive.studies(ALL, 0, 1)
    archive.close()


def test_a_file_beyond_the_limit_is_not_read_to_its_end(web: WebArchive) -> None:
    archive = DicomWebArchive(archive_address(web.url), limits=Limits(max_bytes=10_000))
    web.fault = lambda _: (200, "application/dicom", bytes(100_000))
    with pytest.raises(ImageTooLarge, match="10,000 bytes"):
        archive.file(IMAGE)
    archive.close()


def test_the_user_is_named_by_the_address_and_a_file(web: WebArchive, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    url = web.url.replace("http://", "http://reader@") + f"?password_file={tmp_path / 'password'}"
    archive = DicomWebArchive(archive_address(url))
    archive.studies(ALL, 0, 1)
    assert web.authorization == ["Basic cmVhZGVyOnNlY3JldA=="]
    archive.close()
