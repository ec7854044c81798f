"""Bytes (PNG, JPEG, TIFF or DICOM) -> `Radiograph`. The one way in for every picture.

Nothing that could identify a patient leaves this package: of a header, only the fields of
`Radiograph` are kept.

::

    picture      PNG, JPEG, TIFF
    dicom        DICOM header and pixels
    header       what a DICOM header says, as words of closed lists
    codestream   compressed pixels: bounded before, and apart while, they are unpacked
    window       stored values -> displayed grey
"""

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage
from xemplar.radiograph.dicom import decode_dicom
from xemplar.radiograph.film import Limits, Radiograph
from xemplar.radiograph.header import OTHER_PARTS, VIEWS
from xemplar.radiograph.part10 import is_dicom
from xemplar.radiograph.picture import DISPLAY_SIDE, decode_picture

__all__ = ["DISPLAY_SIDE", "OTHER_PARTS", "VIEWS", "Limits", "Radiograph", "decode"]


def decode(data: bytes, limits: Limits | None = None) -> Radiograph:
    """Decode a film.

    Args:
        data: the whole file: PNG (8 or 16 bit; grey, RGB, RGBA, palette), JPEG, TIFF or DICOM.
        limits: what to refuse; None for the defaults.

    Raises:
        UnreadableImage: empty, truncated, damaged, or none of these formats.
        UnsupportedImage: several frames, no pixels, or no projection radiograph.
        ImageTooLarge: more bytes or pixels than the limit.
        NotARadiograph: a colour photograph, a constant picture, or one too small to see anything.
    """
    limits = limits or Limits()
    if not data:
        raise UnreadableImage("the file is empty; send a PNG, JPEG, TIFF or DICOM radiograph")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the file has {len(data):,} bytes; the limit is {limits.max_bytes:,}")
    film = decode_dicom(data, limits) if is_dicom(data) else decode_picture(data, limits)
    if film.pixels.min() == film.pixels.max():
        raise NotARadiograph(
            f"every pixel has the value {film.pixels.flat[0]}: a constant picture shows nothing"
        )
    return film
