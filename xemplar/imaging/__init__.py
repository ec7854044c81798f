"""Decodes PNG, JPEG, TIFF and DICOM to `Radiograph`; every image enters through `decode`.

Nothing that could identify a patient leaves this package: only the header fields listed in
`Radiograph` are kept.

::

    radiograph      `Radiograph`, limits, conversion to 8 bits
    deep            an image's own values beyond 8 bits, for a reader who windows them
    display         size of display copies
    raster          PNG, JPEG, TIFF
    colour          greyscale stored in colour, and tinted photographs
    dicom           DICOM, from bytes to an image:
      reader          runs the steps below
      part10          bytes -> header, including files that do not conform to PS3.10
      elements        single elements of a header, whatever their VR
      header          patient and acquisition attributes, limited to defined terms
      image_pixel     pixel description; rejects objects that are not single images
      stored_values   pixel data -> stored values: length, byte order, bits, sign
      codestream      compressed pixels, bounded before decompression
      codecs          the library for each transfer syntax
      gdcm_isolation  GDCM in a process of its own
      windowing       stored values -> displayed grey
      lut             lookup tables
    structure       limits on the parts of a file, checked before a library parses it
    decoder_pool    decoding in worker processes (decoder_process) with time and memory limits
    preprocess      `Radiograph` -> network input, and heatmaps back onto the image
    validation      out-of-distribution check of network inputs
    overlay         heatmaps drawn over images
"""

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage
from xemplar.imaging.dicom.header import OTHER_PARTS
from xemplar.imaging.dicom.part10 import is_dicom
from xemplar.imaging.dicom.reader import decode_dicom
from xemplar.imaging.display import DISPLAY_SIDE
from xemplar.imaging.radiograph import Limits, Radiograph
from xemplar.imaging.raster import decode_picture

__all__ = ["DISPLAY_SIDE", "OTHER_PARTS", "Limits", "Radiograph", "decode"]


def decode(data: bytes, limits: Limits | None = None) -> Radiograph:
    """Decode an image.

    Args:
        data: the complete file: PNG (8 or 16 bit; grey, RGB, RGBA, palette), JPEG, TIFF or DICOM.
        limits: size limits; None for the defaults.

    Raises:
        UnreadableImage: empty, truncated, damaged, or none of these formats.
        UnsupportedImage: several frames, no pixels, or not a projection radiograph.
        ImageTooLarge: more bytes or pixels than the limit.
        NotARadiograph: a colour photograph, a constant image, or one that is too small.
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
