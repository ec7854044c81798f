"""Decodes a DICOM file to a `Radiograph` with the header fields that are kept."""

import hashlib
import warnings
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage, UnsupportedImage
from xemplar.imaging.colour import to_grey
from xemplar.imaging.deep import DeepValues, deep_values
from xemplar.imaging.dicom import header as dicom_header
from xemplar.imaging.dicom.gdcm_isolation import import_pydicom
from xemplar.imaging.dicom.image_pixel import image_pixel
from xemplar.imaging.dicom.part10 import read_header
from xemplar.imaging.dicom.stored_values import Stored, stored_values
from xemplar.imaging.dicom.windowing import displayed
from xemplar.imaging.radiograph import Limits, Radiograph, contrast, stretch

if TYPE_CHECKING:
    from pydicom import Dataset


def decode_dicom(data: bytes, limits: Limits) -> Radiograph:
    """Decode a DICOM file; raises the same errors as `xemplar.imaging.decode`."""
    import_pydicom()  # deferred: takes 0.1 s, and most images are not DICOM
    with warnings.catch_warnings():
        # pydicom's warnings quote element values, which may contain a name
        warnings.filterwarnings("ignore", module="pydicom")
        return _image(data, limits)


def _image(data: bytes, limits: Limits) -> Radiograph:
    header = read_header(data, limits)
    try:
        pixel = image_pixel(header, limits)
        stored = stored_values(header, pixel)
        grey, deep, shown = _grey(stored, header)
        return Radiograph(
            pixels=grey,
            source_size=(grey.shape[0], grey.shape[1]),
            sha256=hashlib.sha256(data).hexdigest(),
            format="DICOM",
            view=dicom_header.view_position(header),
            photometric=pixel.photometric,
            spacing_mm=dicom_header.spacing(header),
            body_part=dicom_header.body_part(header),
            burned_in=dicom_header.burned_in(header),
            sex=dicom_header.sex(header),
            age=dicom_header.age(header),
            warnings=(*dicom_header.warnings(header), *pixel.warnings, *stored.warnings, *shown),
            deep=deep,
        )
    except (UnreadableImage, UnsupportedImage, ImageTooLarge, NotARadiograph):
        raise
    except Exception as error:
        raise UnreadableImage(
            "the DICOM pixels cannot be decoded: the file is damaged, or of a kind that is not "
            "supported; export the image again, uncompressed"
        ) from error


def _grey(
    stored: Stored, header: "Dataset"
) -> tuple[npt.NDArray[np.uint8], DeepValues | None, tuple[str, ...]]:
    """Convert to uint8 grey, 0 black to 255 white, keep deep values, and collect warnings."""
    values = stored.values
    if stored.pixel.photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        values = apply_color_lut(values, header)
    if values.ndim == 2:
        shown = displayed(stored, header)
        is_deep = stored.pixel.stored > 8
        deep = deep_values(shown.values, shown.grey) if is_deep else None
        return shown.grey, deep, shown.warnings
    grey, tinted = to_grey(values)
    if grey.dtype == np.uint8:
        return grey, None, tinted
    stretched = stretch(grey, *contrast(grey))
    return stretched, deep_values(grey, stretched), tinted
