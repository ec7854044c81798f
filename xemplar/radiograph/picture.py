"""PNG, JPEG and TIFF, by Pillow: the header is looked at before anything is decoded."""

import hashlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage, UnsupportedImage
from xemplar.radiograph.film import Limits, Radiograph, check_size, contrast, stretch

DISPLAY_SIDE = 1024
"""JPEG films are decoded at a reduced size that keeps at least this many pixels on both sides."""

LYING = (5, 6, 7, 8)
"""EXIF orientations of a picture that is stored on its side."""

COLOUR_SPREAD = 12.0
"""A picture whose channels differ by more than this on average (of 255) is a colour photograph."""


def decode_picture(data: bytes, limits: Limits) -> Radiograph:
    """Decode a PNG, JPEG or TIFF file; raises as `xemplar.radiograph.decode` does."""
    image = _open_picture(data, limits)
    check_size(*image.size, limits)
    width, height = image.size
    try:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise UnsupportedImage(f"the {image.format} holds {frames} pictures; send one film")
        image.draft(None, (DISPLAY_SIDE, DISPLAY_SIDE))  # acts on JPEG alone
        # Pillow turns a TIFF by itself, and gives its upright size
        turned = image.format != "TIFF" and _orientation(image) in LYING
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _grey(image)
    except (NotARadiograph, UnsupportedImage):
        raise
    except Exception as error:
        raise UnreadableImage(
            f"the {image.format} picture is damaged or cut short: {error}"
        ) from error
    return Radiograph(
        pixels=pixels,
        source_size=(width, height) if turned else (height, width),
        sha256=hashlib.sha256(data).hexdigest(),
        format="JPEG" if image.format == "MPO" else str(image.format),
    )


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
            f"this is no PNG, JPEG, TIFF or DICOM file, or its header is damaged "
            f"(it begins with {data[:8]!r})"
        ) from error


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Grey values of a loaded picture; alpha is dropped, deep grey is stretched to 8 bits."""
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    if image.mode == "LA":
        return np.asarray(image.getchannel("L"))
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image, dtype=np.float32)
        if not np.isfinite(deep).all():
            raise UnreadableImage("the picture holds values that are no numbers (NaN or infinity)")
        grey = stretch(deep, *contrast(deep))
        # Pillow itself turns only shallow TIFFs whose zero is white (TIFF 6.0, tag 262)
        zero_is_white = isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0
        return np.subtract(255, grey, dtype=np.uint8) if zero_is_white else grey
    image.info.pop("transparency", None)
    colour = np.asarray(image.convert("RGB"))
    step = max(1, int((colour.shape[0] * colour.shape[1] / 65_536) ** 0.5))
    sample = colour[::step, ::step].astype(np.int16)
    spread = float((sample.max(axis=2) - sample.min(axis=2)).mean())
    if spread > COLOUR_SPREAD:
        raise NotARadiograph(
            f"the picture is in colour (channels differ by {spread:.0f} of 255 on average; the "
            f"limit is {COLOUR_SPREAD:.0f}); a radiograph is grey"
        )
    return np.asarray(image.convert("RGB").convert("L"))
