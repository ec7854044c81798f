"""The catalog's values: what is put in, and what comes out."""

from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from xemplar.data.findings import Labels, positives
from xemplar.errors import CaseElsewhere, CaseIdTaken


def case_id_of(image_sha256: str) -> str:
    """An image's public name: the first 16 hex digits of the sha256 of its original bytes."""
    return image_sha256[:16]


def case_id_taken(case_id: str) -> CaseIdTaken:
    """The error where an image would get the id of another image's case."""
    return CaseIdTaken(
        f"another image is case {case_id}: the digests of the two begin alike, which does not "
        "happen by chance; find out where this image comes from, and save it anew as another file "
        "if it is a patient's"
    )


def case_elsewhere() -> CaseElsewhere:
    """The error where an image is a case that does not exist for the caller."""
    return CaseElsewhere(
        "this very image is a case of a source that is not this key's, and an image is one case; "
        "ask "
        "an administrator whose case it is to be"
    )


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a data set's label file says of an image.

    Attributes:
        source: name of the data set.
        file: name within the data set; None in a plain folder, which says nothing else either.
        patient: pseudonym (`Store.pseudonym`), never the data set's own id; None where unknown.
        view: "PA", "AP", "LL", ...; None where unknown.
        sex: "F", "M" or None.
        age: in years, or None.
        labels: finding -> 1 present, 0 absent, -1 uncertain; missing means unknown.
        split: "train", "val", "test" or another name that the data set gives, else the one that
            the checkpoint's rule gave when the image was indexed; None where it was not.
    """

    source: str
    file: str | None = None
    patient: str | None = None
    view: str | None = None
    sex: str | None = None
    age: int | None = None
    labels: Labels = field(default_factory=lambda: MappingProxyType({}))
    split: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One image to put into the catalog, with what the checkpoint made of it.

    Attributes:
        image_sha256: hex digest of the image's original bytes.
        description: what its data set says.
        height: of the upright image in pixels, before any reduced-size decoding.
        width: likewise.
        spacing_mm: (row, column) distance of its pixels in millimetres, None where unknown.
        photometric: DICOM's PhotometricInterpretation, None for other formats.
        vector: float32 (C,), the embedding, unit length.
        logits: float32 (F,), before calibration.
        cams: float (F, g, g), Grad-CAM of every finding; kept as float16.
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
    """One image in the catalog: everything of its `Description`, and what the image itself says.

    Attributes:
        id: its number, which is its FAISS id too; never given to another case.
        case_id: its public name (`case_id_of`).
        image_sha256: hex digest of the radiograph's original bytes; names its pictures in `Media`.
        height: of the upright image in pixels, before any reduced-size decoding.
        width: likewise.
        spacing_mm: (row, column) distance of its pixels in millimetres, None where unknown.
        photometric: DICOM's PhotometricInterpretation, None for other formats.
        created_at: when it was first indexed, UTC.
    """

    id: int
    case_id: str
    image_sha256: str
    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    photometric: str | None
    created_at: datetime

    @property
    def findings(self) -> tuple[str, ...]:
        """Findings that are present, or "No Finding"; see `xemplar.data.findings.positives`."""
        return positives(self.labels)


@dataclass(frozen=True, eq=False)
class Batch:
    """Embeddings of n cases by one checkpoint, ids ascending.

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
