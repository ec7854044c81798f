"""C-STORE: an image is acknowledged once it is on disk; all else gets a status that says why.

Statuses are those of PS3.4 B.2.3. Pixels are not decoded here: an image whose header is in order is
kept, and what becomes of it is told in log and metrics.
"""

import logging
from collections.abc import Callable
from shutil import disk_usage
from typing import Any

from pydicom import Dataset
from pynetdicom.events import Event

from xemplar.errors import InputError, StorageError, UnsupportedImage
from xemplar.imaging import Limits
from xemplar.imaging.dicom.image_pixel import image_pixel
from xemplar.imaging.dicom.part10 import read_header

from ..conformance import RECEIVED
from ..metrics import NodeMetrics
from ..outbox.outbox import Outbox, image_digest
from ..results.discretion import silenced
from ..results.source import read_source
from .faults import place_of

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
NOT_UNDERSTOOD = 0xC000
NO_SUCH_CLASS = 0x0122
FAILURE = 0x0110

COMMENTS = {
    OUT_OF_RESOURCES: "no room, or disk not writable; send it again later",
    MISMATCH: "no CR or DX image with pixels, or UIDs that differ",
    NOT_UNDERSTOOD: "the header cannot be read",
    NO_SUCH_CLASS: "only CR and DX for presentation are taken",
    FAILURE: "unexpected error; the node's log has its place",
}
"""ErrorComment by status, at most 64 characters; fixed, so none quotes the object."""

LOG = logging.getLogger("xemplar.pacs.receiver")


class Refused(Exception):
    """The object is not kept, with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Receiver:
    """Keeps received images in the outbox."""

    def __init__(
        self,
        outbox: Outbox,
        metrics: NodeMetrics,
        *,
        stage: str,
        limits: Limits,
        free_bytes: int,
        arrived: Callable[[], None],
    ) -> None:
        """Prepare to receive.

        Args:
            outbox: keeps the images.
            metrics: count statuses.
            stage: first stage of an image: "ask" or "index".
            limits: of an image's size.
            free_bytes: room on the disk below which nothing is kept.
            arrived: called once an image is kept.
        """
        self._outbox = outbox
        self._metrics = metrics
        self._stage = stage
        self._limits = limits
        self._free_bytes = free_bytes
        self._arrived = arrived

    def store(self, event: Event) -> Dataset:
        """Answer a C-STORE request (`evt.EVT_C_STORE`)."""
        status = self._status(event)
        self._metrics.received(status)
        answer = Dataset()
        answer.Status = status
        if status in COMMENTS:
            answer.ErrorComment = COMMENTS[status]
        return answer

    def _status(self, event: Event) -> int:
        try:
            with silenced():
                self._keep(event)
        except Refused as refused:
            LOG.warning("an object was refused: 0x%04X, %s", refused.status, _why(refused))
            return refused.status
        except StorageError as error:
            LOG.warning("an image was refused: %s", error)
            return OUT_OF_RESOURCES
        except Exception as error:  # noqa: BLE001 -- the peer is owed a status
            # a message of a library may quote the header
            LOG.warning("an image was not kept: %s", place_of(error))
            return FAILURE
        return SUCCESS

    def _keep(self, event: Event) -> None:
        """Keep an image.

        Raises:
            Refused: with the status that tells why not.
            StorageError: it could not be kept.
        """
        request: Any = event.request
        sop_class = str(request.AffectedSOPClassUID)
        if sop_class not in RECEIVED or sop_class != event.context.abstract_syntax:
            raise Refused(NO_SUCH_CLASS)
        digest = image_digest(event.encoded_dataset(include_meta=False))
        if self._outbox.knows(digest):
            return
        data = event.encoded_dataset()
        self._check(data, sop_class, str(request.AffectedSOPInstanceUID))
        if disk_usage(self._outbox.folder).free < self._free_bytes + len(data):
            raise Refused(OUT_OF_RESOURCES)
        if self._outbox.keep(data, digest, sop_class, self._stage):
            self._arrived()

    def _check(self, data: bytes, sop_class: str, instance: str) -> None:
        """Refuse what no question can be asked about, or no result could refer to."""
        try:
            named = read_source(data, self._limits).header
            image_pixel(read_header(data, self._limits), self._limits)
        except UnsupportedImage as error:
            raise Refused(MISMATCH) from error
        except InputError as error:
            raise Refused(NOT_UNDERSTOOD) from error
        if (named.SOPClassUID, named.SOPInstanceUID) != (sop_class, instance):
            raise Refused(MISMATCH)


def _why(refused: Refused) -> str:
    """Tell what was wrong; a domain error's message quotes nothing of the patient."""
    cause = refused.__cause__
    return str(cause) if isinstance(cause, InputError) else COMMENTS[refused.status]
