"""Files that are not radiographs are rejected with a reason."""

import io
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from tests.images import dicom, encoded, written
from tests.xemplar.imaging.samples import GREY, IMAGE, painted, refused
from xemplar.errors import (
    ImageTooLarge,
    InputError,
    NotARadiograph,
    UnreadableImage,
    UnsupportedImage,
)
from xemplar.imaging import decode


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", UnreadableImage, "the file is empty"),
        (b"This is a letter.", UnreadableImage, "no PNG, JPEG, TIFF or DICOM file"),
        (painted(GREY, "GIF"), UnreadableImage, "no PNG, JPEG, TIFF or DICOM"),
        (painted(GREY, "BMP"), UnreadableImage, "no PNG, JPEG, TIFF or DICOM"),
        (b"%PDF-1.7" + bytes(500), UnreadableImage, "no PNG, JPEG, TIFF or DICOM"),
        (encoded(np.zeros((1, 1), np.uint8)), NotARadiograph, "1 x 1 pixels.*at least 64"),
        (encoded(IMAGE[:, :63]), NotARadiograph, "63 x 96 pixels.*at least 64"),
        (encoded(np.full((96, 80), 7, np.uint8)), NotARadiograph, "value 7: a constant"),
        (encoded(np.full((96, 80), 700, np.uint16)), NotARadiograph, "constant"),
        (dicom(np.full((96, 80), 700, np.uint16)), NotARadiograph, "constant"),
    ],
    ids=["empty", "text", "GIF", "BMP", "PDF", "1x1", "narrow", "constant", "constant deep",
         "constant DICOM"],
)  # fmt: skip
def test_other_files_are_rejected_with_a_reason(
    data: bytes, error: type[InputError], message: str
) -> None:
    refused(data, error, message)


def test_a_file_with_more_bytes_than_the_limit_is_rejected() -> None:
    data = encoded(IMAGE)
    refused(data, ImageTooLarge, f"{len(data):,} bytes; the limit is 100", max_bytes=100)


def test_a_picture_with_more_pixels_than_the_limit_is_rejected() -> None:
    refused(
        encoded(IMAGE), ImageTooLarge, "80 x 96 = 7,680 pixels; the limit is 7,000", max_pixels=7000
    )


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"Modality": "CT"}, UnsupportedImage, "modality is 'CT'; .* CR or DX"),
        ({"Modality": "MG"}, UnsupportedImage, "modality is 'MG'"),
        ({"PixelData": None}, UnsupportedImage, "no pixel data"),
        ({"NumberOfFrames": 12}, UnsupportedImage, "12 frames; send a single image"),
        ({"PhotometricInterpretation": "HSV"}, UnsupportedImage, "'HSV'; .* MONOCHROME1 or"),
        ({"SamplesPerPixel": 4}, UnsupportedImage, "4 samples per pixel; a radiograph has 1"),
        ({"SamplesPerPixel": 3}, UnreadableImage, "3 x 8 bits = 23,040 bytes, but .* 7,680"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, UnreadableImage, "cannot be decoded"),
        ({"BitsAllocated": 12}, UnsupportedImage, "allocates 12 bits to a sample; 1, 8, 16 and 32"),
        ({"Rows": 40}, NotARadiograph, "80 x 40 pixels"),
        ({"Rows": None}, UnreadableImage, "says 0 rows and 80 columns"),
        ({"Rows": 50000, "Columns": 50000}, ImageTooLarge, "50000 x 50000 = 2,500,000,000 pixels"),
        ({"Rows": 97}, UnreadableImage, "97 x 80 .* = 7,760 bytes, but the pixels have 7,680"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_dicom_object_that_is_no_single_grey_image_is_rejected(
    fields: dict[str, Any], error: type[InputError], message: str
) -> None:
    refused(dicom(IMAGE, **fields), error, message)


# UIDs of PS3.4 B.5
OTHER_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "Enhanced CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "ultrasound": "1.2.840.10008.5.1.4.1.1.6.1",
    "mammography": "1.2.840.10008.5.1.4.1.1.1.2",
    "PET": "1.2.840.10008.5.1.4.1.1.128",
    "photograph": "1.2.840.10008.5.1.4.1.1.77.1.4",
}


@pytest.mark.parametrize("modality", ["DX", None, ""])
@pytest.mark.parametrize("uid", OTHER_CLASSES.values(), ids=OTHER_CLASSES)
def test_an_object_of_another_class_is_rejected_whatever_its_modality(
    uid: str, modality: str | None
) -> None:
    data = dicom(IMAGE, SOPClassUID=uid, Modality=modality)
    refused(data, UnsupportedImage, "the DICOM object is of the class '.*'; a projection")


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "Modality", "PhotometricInterpretation", "BodyPartExamined"]
)
def test_a_wrong_length_does_not_leak_a_name_into_a_message(keyword: str) -> None:
    header = dcmread(io.BytesIO(dicom(IMAGE, BodyPartExamined="CHEST")))
    header[keyword].value = f"{header[keyword].value}\0\x10\0\x10\0PNDOE^JANE"
    try:
        said = "; ".join(decode(written(header)).warnings)
    except InputError as refusal:
        said = str(refusal)
    assert "DOE" not in said


def test_the_class_in_the_file_meta_information_counts_where_the_data_set_has_none() -> None:
    header = dcmread(io.BytesIO(dicom(IMAGE, Modality=None)))
    header.file_meta.MediaStorageSOPClassUID = OTHER_CLASSES["CT"]
    del header.SOPClassUID
    file = io.BytesIO()
    header.save_as(file)
    refused(file.getvalue(), UnsupportedImage, "CT Image Storage")


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.5.1.4.1.1.1",  # computed radiography
        "1.2.840.10008.5.1.4.1.1.7",  # secondary capture
        "1.2.840.10008.5.1.4.1.1.12.2",  # radiofluoroscopy
        "1.2.3.4",  # a vendor's own
    ],
)
def test_classes_that_may_be_a_projection_radiograph_are_accepted(uid: str) -> None:
    np.testing.assert_array_equal(decode(dicom(IMAGE, SOPClassUID=uid)).pixels, IMAGE)


@pytest.mark.parametrize("modality", ["CR", "DX", "RG", ""])
def test_projection_radiographs_of_all_names_are_accepted(modality: str) -> None:
    assert decode(dicom(IMAGE, Modality=modality)).format == "DICOM"
