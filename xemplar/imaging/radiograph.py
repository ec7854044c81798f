"""`Radiograph`, size limits checked before decoding, and conversion to 8 bits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xemplar.errors import ImageTooLarge, NotARadiograph
from xemplar.imaging.deep import DeepValues

PERCENTILES = (0.5, 99.5)
"""Percentiles mapped to black and white where a deep image specifies no window."""

ROWS = 32
"""Rows processed at a time, which avoids a float copy of the whole image."""


@dataclass(frozen=True)
class Limits:
    """Size limits that are checked before decoding, so that memory stays bounded.

    Attributes:
        max_bytes: largest file, in bytes.
        max_pixels: most pixels; a chest radiograph has up to 18 million.
        min_side: smallest accepted side, in pixels.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 36_000_000
    min_side: int = 64

    def grant(self, pixels: int) -> None:
        """Called with the declared number of pixels before an image is decoded.

        Does nothing here; a worker of a `DecodingPool` scales its time and memory limits with it.
        """


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A decoded radiograph.

    Attributes:
        pixels: uint8 (height, width), 0 black (air) to 255 white (bone), upright.
        source_size: (height, width) in pixels of the upright image before any reduced-size
            decoding.
        sha256: hex digest of the file's bytes; identifies the image.
        format: "PNG", "JPEG", "TIFF" or "DICOM".
        view: from a DICOM header, one of `xemplar.views.VIEWS`; None if absent.
        photometric: DICOM's PhotometricInterpretation before any inversion; None for other formats.
        spacing_mm: (row, column) spacing of source pixels in millimetres; None if unknown.
        body_part: one of `OTHER_PARTS` if a DICOM header states, as text or code, that the image
            shows this instead of the chest; else None.
        burned_in: whether a DICOM header declares burned-in annotation.
        sex: "F" or "M" from a DICOM header, else None.
        age: the patient's age in whole years, 0 to 120, from a DICOM header, else None.
        warnings: sentences about doubtful properties of the file, such as another body part.
        deep: the image's own values; None for images of 8 bits.
    """

    pixels: npt.NDArray[np.uint8]
    source_size: tuple[int, int]
    sha256: str
    format: str
    view: str | None = None
    photometric: str | None = None
    spacing_mm: tuple[float, float] | None = None
    body_part: str | None = None
    burned_in: bool = False
    sex: str | None = None
    age: int | None = None
    warnings: tuple[str, ...] = ()
    deep: DeepValues | None = None

    @property
    def size_mm(self) -> tuple[float, float] | None:
        """(height, width) in millimetres, by the spacing; None if that is unknown."""
        return size_mm(self.source_size, self.spacing_mm)


def size_mm(
    size: tuple[int, int], spacing_mm: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Compute an image's (height, width) in millimetres; None if its spacing is unknown."""
    if spacing_mm is None:
        return None
    return size[0] * spacing_mm[0], size[1] * spacing_mm[1]


def check_size(width: int, height: int, limits: Limits) -> None:
    """Reject an image size outside the limits.

    Raises:
        ImageTooLarge: too many pixels.
        NotARadiograph: too few pixels on one side.
    """
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"the picture has {width} x {height} = {width * height:,} pixels; the limit is "
            f"{limits.max_pixels:,}; send it at a smaller size"
        )
    if min(width, height) < limits.min_side:
        raise NotARadiograph(
            f"the picture is {width} x {height} pixels; both sides must have at least "
            f"{limits.min_side}"
        )
    limits.grant(width * height)


def stretch(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map low..high linearly to 0..255 in float32, clipped and rounded."""
    scale = 255.0 / (high - low if high > low else 1e-6)
    grey = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), ROWS):
        rows = values[first : first + ROWS].astype(np.float32)
        rows -= low
        rows *= scale
        rows += 0.5
        grey[first : first + ROWS] = np.clip(rows, 0, 255, out=rows)
    return grey


def contrast(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Estimate black and white points of a deep image without a window.

    Uses percentiles, or the extremes if these coincide. If the lowest or highest value alone
    accounts for more than three quarters of the span, it is a border or a marker and is excluded.
    """
    some = values[::4, ::4].astype(np.float32)
    low, high = (float(value) for value in np.percentile(some, PERCENTILES))
    for end in (some.min(), some.max()):
        rest = some[some != end]
        black, white = np.percentile(rest, PERCENTILES) if rest.size else (low, high)
        if 0 < white - black < (high - low) / 4:
            low, high = float(black), float(white)
    if high > low:
        return low, high
    return float(np.float32(values.min())), float(np.float32(values.max()))
