"""All results of an answer as DICOM files, complete and ready to be stored."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from pydicom import Dataset
from pydicom.charset import convert_encodings
from pydicom.valuerep import DA, DT, TM

from xemplar.archive.media import Media
from xemplar.errors import InvalidArgument
from xemplar.retrieval.result import Answer
from xemplar.retrieval.snapshot import Snapshot

from . import secondary_capture, structured_report
from .discretion import silenced
from .source import UTF_8, SourceImage, read_source

MOST_CASES = 24
"""Most cases of a result, counter-examples included: a picture of 24 has 18 MB, uncompressed."""

KINDS = (secondary_capture.KIND, structured_report.KIND)
"""All kinds of result."""

COPIED = ("IssuerOfPatientID", "StudyDescription", "TimezoneOffsetFromUTC")
"""Elements of the image that its results take over, beside patient and study."""

TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs that SpecificCharacterSet applies to (PS3.5 6.1.2.3)."""


@dataclass(frozen=True, repr=False)
class ResultObject:
    """A result, as it is stored. Its representation shows nothing of the patient.

    Attributes:
        kind: "secondary capture" or "structured report".
        sop_class: its SOP Class UID.
        uid: its SOP Instance UID; the same for the same result.
        data: the file (PS3.10).
    """

    kind: str
    sop_class: str
    uid: str
    data: bytes

    @property
    def file_name(self) -> str:
        """Name for a file of it, such as ``structured-report.dcm``."""
        return f"{self.kind.replace(' ', '-')}.dcm"


def result_objects(
    data: bytes,
    live: Snapshot,
    media: Media,
    answer: Answer,
    at: datetime,
    kinds: Sequence[str] = KINDS,
) -> tuple[ResultObject, ...]:
    """Make the DICOM objects that take an answer back into its image's study.

    The same image, answer and time give the same bytes; at another time only times differ, so
    whoever sends results keeps the first ones until they have arrived.

    Args:
        data: the file of the DICOM image that was asked about.
        live: the snapshot that gave the answer.
        media: the stored images of its cases.
        answer: to take back.
        at: time of the answer, with its time zone.
        kinds: of the objects to make, some of `KINDS`.

    Raises:
        UnreadableImage: the image is not DICOM, or damaged.
        UnsupportedImage: its header lacks a UID that a result must name.
        InvalidArgument: more cases than a result holds, or a time without a time zone.
        NotFound: another checkpoint is live now.
        CorruptArtefact: a stored image is damaged.
    """
    shown = len(answer.neighbours) + len(answer.counter_examples)
    if shown > MOST_CASES:
        raise InvalidArgument(
            f"the answer has {shown} cases; results for an archive show at most {MOST_CASES}: ask "
            "for fewer (k, counter_examples)"
        )
    if at.tzinfo is None:
        raise InvalidArgument(f"the time {at.isoformat()} has no time zone; give it one")
    live.check_gave(answer)
    source = read_source(data)
    with silenced():  # of values that the study itself has
        made: dict[str, Dataset] = {}
        if secondary_capture.KIND in kinds:
            made[secondary_capture.KIND] = secondary_capture.secondary_capture(
                source, live, media, answer
            )
        if structured_report.KIND in kinds:
            made[structured_report.KIND] = structured_report.structured_report(source, live, answer)
        return tuple(_stored(kind, one, source, at) for kind, one in made.items())


def _stored(kind: str, made: Dataset, source: SourceImage, at: datetime) -> ResultObject:
    """Complete an object and write it."""
    header = source.header
    for keyword in COPIED:
        if keyword in header:
            made[keyword] = header[keyword]
    if header.get("PatientIdentityRemoved") == "YES":
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethod = header.get("DeidentificationMethod") or "As its source image"
    _date(made, _local(at, header))
    made.SpecificCharacterSet = _character_set(made, source.character_set)
    if made.SpecificCharacterSet is None:
        del made.SpecificCharacterSet
    file = io.BytesIO()
    made.save_as(file, enforce_file_format=True)
    return ResultObject(kind, str(made.SOPClassUID), str(made.SOPInstanceUID), file.getvalue())


def _local(at: datetime, header: Dataset) -> datetime:
    """Convert a time to the image's time zone, else this machine's; it is written without one."""
    offset = str(header.get("TimezoneOffsetFromUTC") or "")
    if not offset:
        return at.astimezone().replace(tzinfo=None)
    ahead = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
    zone = timezone(-ahead if offset[0] == "-" else ahead)
    return at.astimezone(zone).replace(tzinfo=None)


def _date(made: Dataset, at: datetime) -> None:
    """Replace the times that highdicom took from the clock."""
    day, time = DA(at.date()), TM(at.time())
    for what in ("InstanceCreation", "Content", "Series"):
        setattr(made, f"{what}Date", day)
        setattr(made, f"{what}Time", time)
    if "DateOfSecondaryCapture" in made:
        made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = day, time
    for equipment in made.ContributingEquipmentSequence:
        equipment.ContributionDateTime = DT(at)


def _character_set(made: Dataset, declared: str | list[str] | None) -> str | list[str] | None:
    """Return the image's character set if it can write all texts of an object, else UTF-8."""
    encodings = ["ascii"] if declared is None else convert_encodings(declared)
    texts = "".join(_texts(made))
    if any(_encodes(texts, encoding) for encoding in encodings):
        return declared
    if len(encodings) > 1 and all(
        any(_encodes(letter, encoding) for encoding in encodings) for letter in set(texts)
    ):
        return declared
    return UTF_8


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _texts(made: Dataset) -> Iterator[str]:
    """List all texts of an object, those in sequences included."""
    element: Any
    for element in made.iterall():
        if element.VR in TEXT_VRS and element.value is not None:
            yield str(element.value)
