"""An archive's DICOMweb service: searches by QIDO-RS, files by WADO-RS (PS3.18 10.6 and 10.4)."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx2

from xemplar import __version__
from xemplar.errors import (
    ArchiveUnreachable,
    ConfigurationError,
    ImageTooLarge,
    UnreadableImage,
)
from xemplar.imaging import Limits
from xemplar.imaging.dicom.study import UID

from ..address import ArchiveAddress
from .multipart import single_part
from .query import FetchQuery

JSON = "application/dicom+json"
FILE = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""The file as the archive has it: a converted one would be another image to the catalog."""

SOP_CLASS, INSTANCE, STUDY, SERIES = "00080016", "00080018", "0020000D", "0020000E"
MODALITY, MODALITIES, BODY_PART, IMAGES = "00080060", "00080061", "00180015", "00201208"

CONNECT_SECONDS = 10.0
SECONDS = 120.0
"""Time that the archive may say nothing in the middle of an answer."""

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds before each further attempt while the archive is away or busy."""

PASSING = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses of an archive that is away or busy."""

GONE = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
VANISHED = "it is no longer in the archive"


@dataclass(frozen=True, repr=False)
class ArchiveStudy:
    """A study; its representation shows no UID.

    Attributes:
        uid: StudyInstanceUID; empty if the archive tells no valid one.
        modalities: of its series; None if the archive does not tell.
        images: number of its objects; None if the archive does not tell.
    """

    uid: str
    modalities: frozenset[str] | None
    images: int | None


@dataclass(frozen=True, repr=False)
class ArchiveImage:
    """An image; its representation shows no UID.

    Attributes:
        study: StudyInstanceUID.
        series: SeriesInstanceUID; empty if the archive tells no valid one.
        uid: SOPInstanceUID; likewise.
        sop_class: SOPClassUID.
    """

    study: str
    series: str
    uid: str
    sop_class: str


class DicomWebArchive:
    """Reads from an archive. Thread-safe; no error names a study, an image or a patient."""

    def __init__(
        self,
        address: ArchiveAddress,
        *,
        verify: Any = True,
        limits: Limits = Limits(),
        waits: Sequence[float] = WAITS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare the connections.

        Args:
            address: of kind "web".
            verify: an `ssl.SSLContext`, or True for the authorities that this machine trusts.
            limits: size limits of a file.
            waits: see `WAITS`.
            sleep: waits so many seconds.

        Raises:
            ConfigurationError: the password's file cannot be used.
        """
        self.url = address.url
        self._limits = limits
        self._waits = waits
        self._sleep = sleep
        self._http = httpx2.Client(
            base_url=address.url,
            auth=(address.title, address.password()) if address.title else None,
            headers={"User-Agent": f"xemplar/{__version__}", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(SECONDS, connect=CONNECT_SECONDS),
            verify=verify,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def studies(self, query: FetchQuery, offset: int, limit: int) -> list[ArchiveStudy]:
        """Search for studies, one page of them; empty after the last page.

        Modalities are not part of the search: Orthanc 1.10 loses studies in the pages of one with
        ModalitiesInStudy. What the archive tells of them is returned.

        Raises:
            ConfigurationError: the archive refuses the search, or there is no such service.
            ArchiveUnreachable: it does not answer, or not in DICOM JSON.
        """
        wanted = {"StudyDate": query.dates} if query.dates else {}
        pages = {"limit": str(limit), "offset": str(offset)}
        fields = {"includefield": [MODALITIES, IMAGES]}
        found = self._search("/studies", {**wanted, **fields, **pages})
        if found is None:
            raise ConfigurationError(
                f"there is no DICOMweb service at {self.url} (404); name the address under which "
                "the archive has /studies"
            )
        return [
            ArchiveStudy(
                _uid(one, STUDY),
                frozenset(map(str, one[MODALITIES])) if one.get(MODALITIES) else None,
                _number(one.get(IMAGES)),
            )
            for one in found
        ]

    def images(self, study: str, modality: str, body_part: str) -> list[ArchiveImage] | None:
        """Search for a study's images of a modality; None if there is no such study any more.

        An archive may pass over a condition that it does not know, so they are compared here, too.

        Raises:
            ConfigurationError, ArchiveUnreachable: see `studies`.
        """
        wanted = {"Modality": modality}
        if body_part:
            wanted["BodyPartExamined"] = body_part
        fields = {"includefield": [MODALITY, BODY_PART]}
        found = self._search(f"/studies/{study}/instances", {**wanted, **fields})
        if found is None:
            return None
        return [
            ArchiveImage(study, _uid(one, SERIES), _uid(one, INSTANCE), _text(one, SOP_CLASS))
            for one in found
            if _text(one, MODALITY) in ("", modality)
            and _text(one, BODY_PART).upper() in ("", body_part or _text(one, BODY_PART).upper())
        ]

    def file(self, image: ArchiveImage) -> bytes:
        """Read an image's file, byte for byte as the archive has it.

        Raises:
            UnreadableImage: it is gone, refused, or no DICOM.
            ImageTooLarge: it exceeds the limit.
            ConfigurationError, ArchiveUnreachable: see `studies`.
        """
        path = f"/studies/{image.study}/series/{image.series}/instances/{image.uid}"
        status, content, kind = self._get(path, FILE)
        if status in GONE:
            raise UnreadableImage(VANISHED)
        if status != HTTPStatus.OK:
            raise UnreadableImage(f"the archive does not send it ({status})")
        return single_part(content, kind)

    def _search(self, path: str, wanted: Mapping[str, Any]) -> list[dict[str, list[Any]]] | None:
        """Search; returns tag -> values of each match, None if the archive has no such resource."""
        try:
            status, content, _ = self._get(path, JSON, wanted)
        except ImageTooLarge as error:
            raise _no_json() from error
        if status == HTTPStatus.NO_CONTENT:
            return []
        if status in GONE:
            return None
        if status != HTTPStatus.OK:
            named = ", ".join(name for name in wanted if name[0].isupper()) or "nothing"
            raise ConfigurationError(
                f"the archive refuses to search by {named} ({status}); it may not know an "
                "attribute, or find too much: leave --body-part out, or narrow --dates"
            )
        try:
            found = json.loads(content)
            return [
                {tag: list(attribute.get("Value", ())) for tag, attribute in one.items()}
                for one in found
            ]
        except (ValueError, AttributeError, TypeError) as error:
            raise _no_json() from error

    def _get(
        self, path: str, accept: str, wanted: Mapping[str, Any] | None = None
    ) -> tuple[int, bytes, str]:
        """Send a request, again while the archive is away; returns status, body and media type."""
        for wait in (*self._waits, None):
            reason = ""
            try:
                status, content, kind = self._once(path, accept, wanted)
            except httpx2.HTTPError as error:
                reason = type(error).__name__
            else:
                if status not in PASSING:
                    break
                reason = str(status)
            if wait is None:
                raise ArchiveUnreachable(
                    f"the archive {self.url} does not answer ({reason}); what was fetched is kept: "
                    "run the same command again to continue"
                )
            self._sleep(wait)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ConfigurationError(
                f"the archive {self.url} does not let this user in ({status}); name a user that "
                "may search and retrieve, as https://USER@HOST/PATH?password_file=FILE"
            )
        if 300 <= status < 400:
            raise ConfigurationError(
                f"the archive {self.url} leads elsewhere ({status}); name the final address"
            )
        return status, content, kind

    def _once(
        self, path: str, accept: str, wanted: Mapping[str, Any] | None
    ) -> tuple[int, bytes, str]:
        limit, content = self._limits.max_bytes, bytearray()
        headers = {"Accept": accept}
        with self._http.stream("GET", path, params=wanted, headers=headers) as answer:
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > limit + 2 * 8192:  # the envelope of a file of that size
                    raise ImageTooLarge(f"the file has more than {limit:,} bytes, the limit")
            return answer.status_code, bytes(content), answer.headers.get("Content-Type", "")


def _no_json() -> ArchiveUnreachable:
    return ArchiveUnreachable("the archive does not answer in DICOM JSON; is this its DICOMweb?")


def _text(found: Mapping[str, list[Any]], tag: str) -> str:
    values = found.get(tag)
    return str(values[0]).strip() if values else ""


def _uid(found: Mapping[str, list[Any]], tag: str) -> str:
    """Return a UID, which becomes part of addresses; empty for what is none."""
    uid = _text(found, tag)
    return uid if UID.fullmatch(uid) else ""


def _number(values: list[Any] | None) -> int | None:
    try:
        return int(values[0]) if values else None
    except (TypeError, ValueError):
        return None
