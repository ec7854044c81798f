"""PNG, JPEG and TIFF, by Pillow: the header is looked at before anything is decoded."""

import hashlib
import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage, UnsupportedImage
from xemplar.imaging.colour import to_grey
from xemplar.imaging.dicom.codestream import with_end
from xemplar.imaging.radiograph import Limits, Radiograph, check_size, contrast, stretch
from xemplar.imaging.structure.jpeg import check_jpeg, check_scans
from xemplar.imaging.structure.png import START, check_png, chunks
from xemplar.imaging.structure.tiff import check_tiff

DISPLAY_SIDE = 1024
"""JPEG images are decoded at a reduced size that keeps at least this many pixels on both sides."""

LYING = (5, 6, 7, 8)
"""EXIF orientations of a picture that is stored on its side."""

PNG_START = b"\x89PNG\r\n\x1a\n"

TIFF_STARTS = tuple(
    order + version for order in (b"II", b"MM") for version in (b"*\0", b"\0*", b"+\0", b"\0+")
)
"""In either byte order, and as BigTIFF; Pillow takes versions in the wrong order, too."""

PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks that say nothing of the grey values, and that Pillow refuses when they are long."""

Pixels = npt.NDArray[Any]


def decode_picture(data: bytes, limits: Limits) -> Radiograph:
    """Decode a PNG, JPEG or TIFF file; raises as `xemplar.imaging.decode` does."""
    _check_structure(data)
    content = _without_text(data)
    image = _open_picture(content, limits)
    check_size(*image.size, limits)
    width, height = image.size
    if image.format in ("JPEG", "MPO"):
        check_scans(data, width * height)
    # told by the decoder that waits: Pillow keeps 8 of the 16 bits of colour
    waiting = str(getattr(image, "tile", ""))
    is_deep_colour = image.mode in ("RGB", "RGBA", "LA") and ";16" in waiting
    if is_deep_colour and image.format == "PNG":
        _tell_exif(image, content)
    try:
        if image.format != "MPO" and _holds_more(image):
            raise UnsupportedImage(
                f"the {image.format} holds more than one picture; send one radiograph alone"
            )
        _forget_broken_exif(image)
        # Pillow turns a TIFF by itself, and gives its upright size
        turned = image.format != "TIFF" and _orientation(image) in LYING
        values, warnings = _values(image, content, is_deep_colour)
        grey, tinted = _grey(values, zero_is_white=_zero_is_white(image))
    except (NotARadiograph, UnsupportedImage, UnreadableImage):
        raise
    except Exception as error:
        raise UnreadableImage(
            f"the {image.format} picture is damaged or cut short; export the radiograph again"
        ) from error
    return Radiograph(
        pixels=grey,
        source_size=(width, height) if turned else (height, width),
        sha256=hashlib.sha256(data).hexdigest(),
        format="JPEG" if image.format == "MPO" else str(image.format),
        warnings=(*warnings, *tinted),
    )


def _holds_more(image: Image.Image) -> bool:
    """Whether a second picture follows. To count them, Pillow would read a TIFF's directories."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _check_structure(data: bytes) -> None:
    """Refuse what would take long to be opened; what is of no known kind is left to Pillow."""
    if data.startswith(PNG_START):
        check_png(data)
    elif data.startswith(b"\xff\xd8"):
        check_jpeg(data)
    elif data.startswith(TIFF_STARTS):
        check_tiff(data)


def _open_picture(data: bytes, limits: Limits) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=("PNG", "JPEG", "TIFF"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(
            f"the picture has far more pixels than the limit of {limits.max_pixels:,}; send it at "
            "a smaller size"
        ) from error
    except Exception as error:
        raise UnreadableImage(
            "this is no PNG, JPEG, TIFF or DICOM file, or its header is damaged; export the image "
            "again in one of these formats"
        ) from error


def _without_text(data: bytes) -> bytes:
    """Leave out the chunks of a PNG (PNG 1.2, 3.2) that may be long or inflate without end."""
    if not data.startswith(PNG_START) or not any(one.kind in PNG_TEXT for one in chunks(data)):
        return data
    kept = (data[one.start : one.end] for one in chunks(data) if one.kind not in PNG_TEXT)
    return data[:START] + b"".join(kept)


def _tell_exif(image: Image.Image, data: bytes) -> None:
    """Give a PNG its EXIF data, which Pillow would decode all pixels to look for behind them."""
    found = next((data[one.body] for one in chunks(data) if one.kind == b"eXIf"), b"")
    image.info["exif"] = b"Exif\0\0" + found


def _forget_broken_exif(image: Image.Image) -> None:
    """Take a picture whose EXIF data cannot be read for one without."""
    try:
        image.getexif()
    except (SyntaxError, ValueError, struct.error):  # Pillow's for what is no TIFF inside
        image.info.pop("exif", None)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _zero_is_white(image: Image.Image) -> bool:
    """Tell whether a deep TIFF is to be turned (TIFF 6.0, tag 262): Pillow turns shallow ones."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0


def _values(
    image: Image.Image, data: bytes, is_deep_colour: bool
) -> tuple[Pixels, tuple[str, ...]]:
    """Upright values (height, width) in grey or (height, width, 3) in RGB, and warnings."""
    try:
        return _deep_colour(image, data) if is_deep_colour else _loaded(image), ()
    except OSError:
        if image.format not in ("JPEG", "MPO"):
            raise
        return with_end(data, lambda whole: _loaded(Image.open(BytesIO(whole))))


def _is_unsigned(image: TiffImageFile) -> bool:
    """Tell whether a TIFF has unsigned samples of 32 bits (TIFF 6.0, tags 258 and 339)."""
    bits, form = image.tag_v2.get(258, (1,)), image.tag_v2.get(339, (1,))
    return bool(bits[0] == 32 and form[0] == 1)


def _loaded(image: Image.Image) -> Pixels:
    """Alpha is dropped."""
    image.draft(None, (DISPLAY_SIDE, DISPLAY_SIDE))  # acts on JPEG alone
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    if image.mode == "LA":
        return np.asarray(image.getchannel("L"))
    if isinstance(image, TiffImageFile) and image.mode == "I" and _is_unsigned(image):
        return np.asarray(image, np.int32).view(np.uint32)
    if image.mode.startswith(("I", "F")):
        return np.asarray(image)
    image.info.pop("transparency", None)
    return np.asarray(image.convert("RGB"))


def _deep_colour(image: Image.Image, data: bytes) -> Pixels:
    """uint16 (height, width, 3), by OpenCV, which turns a TIFF by itself."""
    import cv2

    blue_green_red = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if blue_green_red is None:
        raise UnreadableImage(f"the {image.format} picture is damaged; export the radiograph again")
    channels = blue_green_red[..., 2::-1]
    return channels if image.format == "TIFF" else _upright(channels, _orientation(image))


def _upright(values: Pixels, orientation: int) -> Pixels:
    """Turn values (height, width, ...) as EXIF's orientation says, without a copy."""
    turned = values.swapaxes(0, 1) if orientation in LYING else values
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return turned[::down, ::across]


def _grey(values: Pixels, zero_is_white: bool) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Grey of 8 bits, deep values stretched, and a warning where a tint was taken away."""
    warnings: tuple[str, ...] = ()
    if values.ndim == 3:
        values, warnings = to_grey(values)
    if values.dtype == np.uint8:
        return values, warnings
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnreadableImage("the picture holds values that are no numbers (NaN or infinity)")
    grey = stretch(values, *contrast(values))
    return (np.subtract(255, grey, dtype=np.uint8) if zero_is_white else grey), warnings
