"""Values that enter and leave the catalog."""

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import Labels, positives
from xemplar.data.outcomes import Outcome
from xemplar.errors import CaseElsewhere, CaseIdTaken


def case_id_of(image_sha256: str) -> str:
    """Return an image's case id: the first 16 hex digits of the sha256 of its original bytes."""
    return image_sha256[:16]


def case_id_taken(case_id: str) -> CaseIdTaken:
    """Build the error for an image whose case id already belongs to another image."""
    return CaseIdTaken(
        f"another image is case {case_id}: the two digests start with the same 16 digits, which "
        "does not happen by chance; find out where this image comes from; if it is a patient's, "
        "save it again as another file"
    )


def case_elsewhere() -> CaseElsewhere:
    """Build the error for an image whose case is outside the caller's limits."""
    return CaseElsewhere(
        "this image is already a case of a source outside this key's sources, and an image can be "
        "only one case; ask an administrator which source it should belong to"
    )


@dataclass(frozen=True, kw_only=True)
class Description:
    """Metadata of an image from its data set's label file.

    Attributes:
        source: name of the data set.
        file: name within the data set; None in a plain folder, which has no other metadata.
        patient: pseudonym (`Store.pseudonym`), never the data set's own id; None where unknown.
        view: "PA", "AP", "LL", ...; None where unknown.
        sex: "F", "M" or None.
        age: in years, or None.
        labels: finding -> 1 present, 0 absent, -1 uncertain; missing means unknown.
        split: "train", "val", "test" or another name from the data set; otherwise the one assigned
            by the checkpoint's rule when the image was indexed; None if neither applies.
        followup: number of the study among its patient's, ascending; None where unknown.
        day: days since the patient's first study; None where unknown.
        shifted_day: day of the study moved by a secret number of days, the same for all studies of
            the patient; None where unknown.
        outcomes: verified outcomes; None where a data set tells nothing of any.
    """

    source: str
    file: str | None = None
    patient: str | None = None
    view: str | None = None
    sex: str | None = None
    age: int | None = None
    labels: Labels = field(default_factory=lambda: MappingProxyType({}))
    split: str | None = None
    followup: int | None = None
    day: int | None = None
    shifted_day: int | None = None
    outcomes: tuple[Outcome, ...] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """An image to add to the catalog, with the checkpoint's outputs.

    Attributes:
        image_sha256: hex digest of the image's original bytes.
        description: metadata from its data set.
        height: of the image in pixels, oriented, before any reduced-size decoding.
        width: likewise.
        spacing_mm: (row, column) pixel spacing in millimetres; None where unknown.
        photometric: DICOM PhotometricInterpretation; None for other formats.
        vector: float32 (C,), the embedding, unit length.
        logits: float32 (F,), before calibration.
        cams: float (F, g, g), Grad-CAM maps of all findings; stored as float16.
    """

    image_sha256: str
    description: Description
    height: int
    width: int
    spacing_mm: tuple[float, float] | None = None
    photometric: str | None = None
    vector: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    cams: npt.NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Case(Description):
    """An image in the catalog: its `Description` and properties of the image itself.

    Attributes:
        id: number, also its FAISS id; never reused.
        case_id: public id (`case_id_of`).
        image_sha256: hex digest of the original bytes; the key of its pictures in `Media`.
        height: of the image in pixels, oriented, before any reduced-size decoding.
        width: likewise.
        spacing_mm: (row, column) pixel spacing in millimetres; None where unknown.
        photometric: DICOM PhotometricInterpretation; None for other formats.
        created_at: when it was first indexed, UTC.
        has_report: whether `CaseReports` has its report.
    """

    id: int
    case_id: str
    image_sha256: str
    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    photometric: str | None
    created_at: datetime
    has_report: bool = False

    @property
    def findings(self) -> tuple[str, ...]:
        """Findings present, or "No Finding"; see `xemplar.data.findings.positives`."""
        return positives(self.labels)


@dataclass(frozen=True, eq=False)
class Batch:
    """Embeddings of n cases from one checkpoint, in ascending order of ids.

    Attributes:
        ids: int64 (n,), the cases' ids.
        vectors: float32 (n, C), unit length.
        logits: float32 (n, F), before calibration.
        cams: float16 (n, F, g, g).
    """

    ids: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    cams: npt.NDArray[np.float16]
