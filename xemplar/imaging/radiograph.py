"""`Radiograph`, limits checked before decoding, and conversion of deep grey to 8 bits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xemplar.errors import ImageTooLarge, NotARadiograph

PERCENTILES = (0.5, 99.5)
"""Grey values that become black and white where a deep image names no window of its own."""

ROWS = 32
"""Rows that are worked on at once, where a copy of a whole image would take memory and time."""


@dataclass(frozen=True)
class Limits:
    """What is refused before it is decoded, so that memory stays bounded.

    Attributes:
        max_bytes: largest file, in bytes.
        max_pixels: most pixels; a chest radiograph has up to 18 million.
        min_side: shortest side, in pixels, below which nothing can be seen.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 36_000_000
    min_side: int = 64

    def accept(self, pixels: int) -> None:
        """Be told how many pixels an image declares, before they are decoded.

        A worker of a `DecodingPool` gets time and memory in proportion.
        """


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A decoded image.

    Attributes:
        pixels: uint8 (height, width), 0 black (air) to 255 white (bone), upright.
        source_size: (height, width) in pixels of the upright image before any reduced-size
            decoding.
        sha256: hex digest of the bytes it was decoded from: its identity.
        format: "PNG", "JPEG", "TIFF" or "DICOM".
        view: one of `xemplar.data.views.VIEWS` as a DICOM header says, None where it does not.
        photometric: DICOM's PhotometricInterpretation before turning, None for other formats.
        spacing_mm: (row, column) distance of source pixels in millimetres, None where unknown.
        body_part: one of `OTHER_PARTS` where a DICOM header says, by text or code, that the image
            shows this instead of the chest, else None.
        burned_in: whether a DICOM header says that text is burnt into the picture.
        sex: "F" or "M" as a DICOM header says, else None.
        age: of the patient in whole years, 0 to 120, as a DICOM header says, else None.
        warnings: sentences about what a DICOM header says of the image, as another part of the
        body.
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


def check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a size in pixels that is beyond the limits.

    Raises:
        ImageTooLarge: too many pixels.
        NotARadiograph: too few to see anything.
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
    limits.accept(width * height)


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
    """Black and white point of a deep image without a window: percentiles, else the extremes.

    Where the lowest or the highest value alone takes more than three quarters of that span, it is
    a border or a marker, and the rest of the image counts.
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
