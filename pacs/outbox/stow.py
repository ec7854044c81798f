"""An archive that takes results by STOW-RS (PS3.18 10.5)."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2

from ..address import ArchiveAddress
from ..settings import NodeSettings
from ..tls import client_context
from .archive import DUPLICATE, ArchiveAway, ObjectRefused, Store
from .outbox import Item

FAILED, REASON = "00081198", "00081197"
"""FailedSOPSequence, and FailureReason in it."""

AWAY = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Statuses that are about the service or this node, and not about an object."""


class StowArchive:
    """The archive's DICOMweb service, one request for each object."""

    def __init__(self, settings: NodeSettings, address: ArchiveAddress) -> None:
        """Prepare the requests.

        Raises:
            ConfigurationError: the password's file or a certificate cannot be used.
        """
        self._url = f"{address.url}/studies"
        self._options: dict[str, Any] = {
            "timeout": settings.stall_seconds,
            "auth": (address.title, address.password()) if address.title else None,
            "follow_redirects": False,
        }
        if address.tls:
            self._options["verify"] = client_context(settings)

    @contextmanager
    def connected(self, sop_classes: frozenset[str]) -> Iterator[Store]:  # noqa: ARG002
        """Open connections as they are needed; see `archive.Archive.connected`."""
        with httpx2.Client(**self._options) as client:

            def store(item: Item, path: Path) -> None:  # noqa: ARG001 -- `archive.Store`
                self._store(client, path.read_bytes())

            yield store

    def _store(self, client: httpx2.Client, data: bytes) -> None:
        boundary = secrets.token_hex(16)
        start = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        try:
            answer = client.post(
                self._url,
                content=start + data + f"\r\n--{boundary}--\r\n".encode(),
                headers={"Content-Type": kind, "Accept": "application/dicom+json"},
            )
        except httpx2.HTTPError as error:
            raise ArchiveAway(
                f"the archive's web service does not answer ({type(error).__name__})"
            ) from error
        _check(answer)


def _check(answer: httpx2.Response) -> None:
    status = answer.status_code
    if status in AWAY or answer.is_redirect:
        raise ArchiveAway(f"the archive's web service answered {status} {answer.reason_phrase}")
    try:
        told = json.loads(answer.content)
        failed = told.get(FAILED, {}).get("Value", [])
        reasons = [int(one.get(REASON, {}).get("Value", [0])[0]) for one in failed]
    except (ValueError, AttributeError, IndexError, TypeError) as error:
        if answer.is_success:
            raise ArchiveAway("the archive's web service answered no DICOM JSON") from error
        raise ObjectRefused(f"the archive answered {status} {answer.reason_phrase}") from error
    if any(reason != DUPLICATE for reason in reasons) or (answer.is_error and not reasons):
        shown = ", ".join(f"0x{reason:04X}" for reason in reasons) or "none told"
        raise ObjectRefused(f"the archive answered {status}, failure reason {shown}")
