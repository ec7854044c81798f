"""Real images, if available."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.xemplar.imaging.samples import correlation, refused
from xemplar.errors import (
    UnsupportedImage,
)
from xemplar.imaging import decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess


def real(folder: Path, part: str) -> bytes:
    [path] = (folder / "dicom").glob(f"*{part}*")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["test1", "test2", "test4", "test6"])
def test_real_plain_8_bit_images_are_decoded(real_data: Path, name: str) -> None:
    image = decode(real(real_data, f"AIHCND_C2_Starter__{name}"))
    assert image.source_size == image.pixels.shape == (1024, 1024)
    assert image.photometric == "MONOCHROME2"
    assert image.spacing_mm is None  # their headers say 0
    assert image.pixels.std() > 30


def test_the_same_real_picture_under_two_headers_gives_the_same_pixels(real_data: Path) -> None:
    one, other = (decode(real(real_data, f"AIHCND_C2_Starter__{n}")) for n in ("test1", "test6"))
    np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_real_jpeg_compressed_image_is_decoded(real_data: Path) -> None:
    image = decode(real(real_data, "torchxrayvision"))
    assert (image.view, image.photometric, image.spacing_mm) == (
        "PA",
        "MONOCHROME2",
        (0.168, 0.168),
    )
    assert image.pixels.shape == (1024, 1024)


def test_a_real_inverted_15_bit_jpeg_2000_image_is_inverted_back(real_data: Path) -> None:
    image = decode(real(real_data, "RG1_J2KI"))
    assert (image.view, image.photometric) == ("PA", "MONOCHROME1")
    assert image.pixels.shape == (1955, 1841)
    # the shoulders' corners are air (black), the abdomen in the middle below is bright
    height, width = image.pixels.shape
    assert image.pixels[-height // 10 :, width // 3 : -width // 3].mean() > 150


def test_a_real_veterinary_image_is_decoded(real_data: Path) -> None:
    image = decode(real(real_data, "highdicom"))
    assert image.photometric == "MONOCHROME1"
    assert image.pixels.shape == (169, 211)


def test_a_real_header_without_pixels_is_rejected(real_data: Path) -> None:
    refused(real(real_data, "chrJapMulti"), UnsupportedImage, "no pixel data")


def test_originals_and_their_smaller_copies_give_the_same_input(real_data: Path) -> None:
    with (real_data / "originals" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[::5]
    spec = PreprocessSpec()
    agreements = {
        row["file"]: correlation(
            preprocess(decode((real_data / "originals" / row["file"]).read_bytes()), spec),
            preprocess(decode((real_data / "nih14" / row["nih14_file"]).read_bytes()), spec),
        )
        for row in rows
    }
    assert {name: value for name, value in agreements.items() if value <= 0.99} == {}
