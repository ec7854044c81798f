"""Bytes (PNG, JPEG, TIFF or DICOM) -> `Radiograph`. The one way in for every picture.

Nothing that could identify a patient leaves this package: of a header, only the fields of
`Radiograph` are kept.

::

    picture       PNG, JPEG, TIFF
    colour        grey that is stored in colour, and the tint of a photograph
    dicom         DICOM, from bytes to an image:
      part10        bytes -> header, also where the file lacks what PS3.10 asks for
      elements      single elements of a header, whatever VR they have
      header        what it says of the patient and the image, as words of closed lists
      image_pixel   how it describes the pixels; refuses what is no image
      stored        pixel data -> stored values: length, byte order, bits, sign
      codestream    compressed pixels: bounded before they are unpacked
      decoders      the library for each coding; GDCM in a process of its own
      window        stored values -> displayed grey
      lut           lookup tables
    structure     what a file is made of, counted before a library reads it
"""

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage
from xemplar.imaging.dicom.header import OTHER_PARTS
from xemplar.imaging.dicom.part10 import is_dicom
from xemplar.imaging.dicom.reader import decode_dicom
from xemplar.imaging.radiograph import Limits, Radiograph
from xemplar.imaging.raster import DISPLAY_SIDE, decode_picture

__all__ = ["DISPLAY_SIDE", "OTHER_PARTS", "Limits", "Radiograph", "decode"]


def decode(data: bytes, limits: Limits | None = None) -> Radiograph:
    """Decode an image.

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
    image = decode_dicom(data, limits) if is_dicom(data) else decode_picture(data, limits)
    if image.pixels.min() == image.pixels.max():
        raise NotARadiograph(
            f"every pixel has the value {image.pixels.flat[0]}: a constant picture shows nothing"
        )
    return image
