"""Address of the archive that results go to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from xemplar.errors import ConfigurationError

PASSWORD_FILE = "password_file"  # noqa: S105 -- the name of a query parameter
DICOM_PORT = 104
TLS_PORT = 2762
"""Registered ports of DICOM (PS3.8 9.1.1 and PS3.15 B.1)."""


@dataclass(frozen=True)
class ArchiveAddress:
    """Where an archive takes objects.

    Attributes:
        kind: "dicom" (C-STORE) or "web" (STOW-RS).
        tls: whether associations are encrypted; for the web its URL says so.
        title: AE title of the archive; of the web the user's name.
        host: for DICOM.
        port: for DICOM.
        url: of the DICOMweb service, without user and query.
        password_file: file with the user's password; None for no user.
    """

    kind: Literal["dicom", "web"]
    tls: bool = False
    title: str = ""
    host: str = ""
    port: int = 0
    url: str = ""
    password_file: Path | None = field(default=None)

    def password(self) -> str:
        """Read the password.

        Raises:
            ConfigurationError: the file cannot be read, or is empty.
        """
        if self.password_file is None:
            return ""
        try:
            said = self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the file {self.password_file} with the archive's password cannot be read; name "
                "one that this user may read (password_file)"
            ) from error
        if not said:
            raise ConfigurationError(
                f"the file {self.password_file} should hold the archive's password; it is empty"
            )
        return said


def archive_address(given: str) -> ArchiveAddress:
    """Parse an archive's address.

    Raises:
        ValueError: it is none; the message has no password.
    """
    parts = urlsplit(given)
    try:
        port = parts.port
    except ValueError as error:
        raise _malformed() from error
    if parts.password is not None:
        raise ValueError("a password is seen in lists of processes; name a password_file instead")
    named = parse_qs(parts.query, keep_blank_values=True)
    if not parts.hostname or named.keys() - {PASSWORD_FILE}:
        raise _malformed()
    user = unquote(parts.username or "")
    if parts.scheme in ("dicom", "dicom+tls"):
        tls = parts.scheme == "dicom+tls"
        if not 0 < len(user) <= 16 or parts.path.strip("/") or named:
            raise _malformed()
        return ArchiveAddress(
            "dicom", tls, user, parts.hostname, port or (TLS_PORT if tls else DICOM_PORT)
        )
    if parts.scheme not in ("http", "https") or bool(user) != bool(named):
        raise _malformed()
    (file,) = named.get(PASSWORD_FILE, [""])
    return ArchiveAddress(
        "web",
        parts.scheme == "https",
        user,
        url=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}",
        password_file=Path(file) if file else None,
    )


def _malformed() -> ValueError:
    return ValueError(
        "it is no address of an archive; write dicom://TITLE@host:port, dicom+tls://TITLE@host:"
        "port, or https://user@host/dicom-web?password_file=FILE"
    )
