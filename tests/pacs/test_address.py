"""Addresses of archives."""

from pathlib import Path

import pytest
from xemplar_pacs.address import archive_address

from xemplar.errors import ConfigurationError


def test_names_a_dicom_node() -> None:
    address = archive_address("dicom://ORTHANC@10.1.2.3:4242")
    assert (address.kind, address.tls, address.title) == ("dicom", False, "ORTHANC")
    assert (address.host, address.port) == ("10.1.2.3", 4242)


def test_knows_the_registered_ports() -> None:
    assert archive_address("dicom://A@pacs").port == 104
    assert archive_address("dicom+tls://A@pacs").port == 2762


def test_names_a_web_service() -> None:
    address = archive_address("https://me@pacs.example:8443/dicom-web/?password_file=/run/x")
    assert address.url == "https://pacs.example:8443/dicom-web"
    assert (address.kind, address.tls, address.title) == ("web", True, "me")
    assert address.password_file == Path("/run/x")


@pytest.mark.parametrize(
    "given",
    [
        "ORTHANC@10.1.2.3",
        "dicom://10.1.2.3",
        "dicom://SEVENTEEN_LETTERS@10.1.2.3",
        "dicom://A@10.1.2.3/path",
        "dicom://A@10.1.2.3:99999",
        "ftp://a@b",
        "https://",
        "https://me@pacs/dicom-web",
        "https://pacs/dicom-web?password_file=/run/x",
        "https://pacs/dicom-web?colour=red",
    ],
)
def test_anything_else_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="write dicom://TITLE@host:port"):
        archive_address(given)


def test_a_password_in_it_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="name a password_file") as refused:
        archive_address("https://me:hunter2@pacs/dicom-web")
    assert "hunter2" not in str(refused.value)


def test_reads_its_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    address = archive_address(f"https://me@pacs/?password_file={file}")
    assert address.password() == "hunter2"
    file.write_text("\n")
    with pytest.raises(ConfigurationError, match="it is empty"):
        address.password()
    file.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        address.password()
