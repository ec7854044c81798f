"""Both sides of the node in tests: a modality that sends, and an archive that takes results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from threading import Condition, Event
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, evt
from pynetdicom.association import Association

SECONDS = 240.0
VERIFICATION = "1.2.840.10008.1.1"
SENT = (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation)


def associate(
    port: int,
    *,
    calling: str = "MODALITY",
    called: str = "XEMPLAR",
    classes: Sequence[str] = SENT,
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
) -> Association:
    """Ask the node for an association."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
    for sop_class in (VERIFICATION, *classes):
        entity.add_requested_context(sop_class, list(syntaxes))
    return entity.associate("127.0.0.1", port, ae_title=called)


@contextmanager
def associated(port: int, **options: Any) -> Iterator[Association]:
    """An association with the node."""
    association = associate(port, **options)
    assert association.is_established
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(port: int, *files: bytes, **options: Any) -> list[int]:
    """Send images in one association; return the statuses."""
    with associated(port, **options) as association:
        return [int(association.send_c_store(dcmread(BytesIO(one))).Status) for one in files]


class Archive:
    """An archive that takes results; what it answers can be changed.

    Attributes:
        stored: the data sets' bytes by SOP Instance UID, all that came under it.
        status: of the answer to an object, or what makes one of the request.
        pause: until when it reads nothing more, once it has accepted an association.
    """

    title = "ARCHIVE"

    def __init__(self, classes: Sequence[str] | None = None) -> None:
        self.stored: dict[str, list[bytes]] = {}
        self.status: int | Callable[[Any], int] = 0x0000
        self.pause = Event()
        self.pause.set()
        self._changed = Condition()
        self._entity = AE(self.title)
        self._entity.require_called_aet = True
        for sop_class in classes or (SecondaryCaptureImageStorage, ComprehensiveSRStorage):
            self._entity.add_supported_context(UID(sop_class), [ExplicitVRLittleEndian])
        self._server: Any = None
        self.port = 0

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = self._entity.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_DATA_RECV, self._wait),  # in the thread that reads
            ],
        )
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.shutdown()
        self._server = None

    def __enter__(self) -> "Archive":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its address as the setting has it."""
        return f"dicom://{self.title}@127.0.0.1:{self.port}"

    def wait_for(self, number: int) -> list[Dataset]:
        """Wait until it has so many objects; return them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.stored) >= number, SECONDS)
            return [parsed(copies[0]) for copies in self.stored.values()]

    def _wait(self, event: Any) -> None:
        if event.assoc.is_established:
            self.pause.wait(SECONDS)

    def _store(self, event: Any) -> int:
        status = self.status(event) if callable(self.status) else self.status
        if status == 0:
            with self._changed:
                data = event.encoded_dataset()
                uid = str(event.request.AffectedSOPInstanceUID)
                self.stored.setdefault(uid, []).append(data)
                self._changed.notify_all()
        return status


def parsed(data: bytes) -> Dataset:
    """Read a file."""
    read: Dataset = dcmread(BytesIO(data))
    return read
