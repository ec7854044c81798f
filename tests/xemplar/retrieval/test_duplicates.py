"""One image in two files is recognised; two exposures are told apart, as alike as they may be."""

import csv
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.images import compressed, dicom, drawn_image, encoded
from xemplar.archive.media import Media
from xemplar.catalog import case_id_of
from xemplar.imaging import decode
from xemplar.imaging.local_contrast import likeness, local_contrast, same_image
from xemplar.imaging.preprocess import PreprocessSpec, preprocess
from xemplar.phantom import phantom
from xemplar.retrieval.duplicates import StoredImages

SPEC = PreprocessSpec()
IMAGE = phantom(3, size=512).pixels
DEEP = (IMAGE.astype(np.uint16) << 4) + 7


def seen(data: bytes, spec: PreprocessSpec = SPEC) -> npt.NDArray[np.uint8]:
    return preprocess(decode(data), spec)


def curved(curve: str) -> bytes:
    grey = IMAGE / 255
    shown = {"gamma": grey**0.6, "window": np.clip((grey - 0.1) / 0.8, 0, 1)}[curve]
    return encoded((shown * 255).astype(np.uint8))


COPIES = {
    "another picture format": encoded(IMAGE, "TIFF"),
    "JPEG": encoded(IMAGE, "JPEG", quality=50),
    "half the resolution": encoded(cv2.resize(IMAGE, (256, 256), interpolation=cv2.INTER_AREA)),
    "DICOM": dicom(IMAGE),
    "DICOM of 12 bits": dicom(DEEP, BitsStored=12, WindowCenter=2048, WindowWidth=4096),
    "DICOM, black and white exchanged": dicom(255 - IMAGE, PhotometricInterpretation="MONOCHROME1"),
    "another display curve": curved("gamma"),
    "another window": curved("window"),
}


@pytest.mark.parametrize("name", COPIES)
def test_an_image_in_another_file_is_the_same(name: str) -> None:
    assert same_image(seen(encoded(IMAGE)), seen(COPIES[name]))


def test_an_image_in_another_transfer_syntax_is_the_same() -> None:
    import gdcm

    plain = dicom(IMAGE)
    for syntax in (gdcm.TransferSyntax.JPEGBaselineProcess1, gdcm.TransferSyntax.JPEG2000):
        assert same_image(seen(plain), seen(compressed(plain, syntax)))


def test_text_that_was_blacked_out_makes_no_other_image() -> None:
    masked = IMAGE.copy()
    masked[:60, :120] = 0
    assert same_image(seen(encoded(IMAGE)), seen(encoded(masked)))


def test_images_of_other_people_are_other_images() -> None:
    images = [local_contrast(phantom(seed, size=224).pixels) for seed in range(12)]
    others = [likeness(a, b) for n, a in enumerate(images) for b in images[:n]]
    assert max(others) < 0.6


def test_a_second_exposure_of_a_patient_who_moved_is_another_image() -> None:
    """By a fiftieth of the image's width, and turned by a degree."""
    turned = cv2.getRotationMatrix2D((256, 256), 1, 1)
    turned[:, 2] += 10
    moved = cv2.warpAffine(IMAGE, turned, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    assert not same_image(seen(encoded(IMAGE)), seen(encoded(moved)))


def test_an_even_image_is_the_same_as_none() -> None:
    even = np.full((224, 224), 90, np.uint8)
    assert not same_image(even, even)
    assert not same_image(even, seen(encoded(IMAGE)))


def test_a_stored_image_that_is_missing_or_damaged_is_the_same_as_none(tmp_path: Path) -> None:
    media, image = Media(tmp_path), decode(encoded(drawn_image(1)))
    inputs = preprocess(image, SPEC)
    contrast = local_contrast(inputs)
    assert not StoredImages(media, SPEC).same(contrast, image.sha256)
    media.write(image, inputs, SPEC)
    assert StoredImages(media, SPEC).same(contrast, image.sha256)
    (stored,) = tmp_path.rglob("*.png")
    stored.write_bytes(b"torn")
    assert not StoredImages(media, SPEC).same(contrast, image.sha256)


def test_the_input_at_hand_is_compared_instead_of_a_file(tmp_path: Path) -> None:
    image = decode(encoded(IMAGE))
    inputs, images = preprocess(image, SPEC), StoredImages(Media(tmp_path), SPEC)
    images.put(case_id_of(image.sha256), inputs)
    assert images.same(local_contrast(inputs), image.sha256)


def test_published_images_and_small_jpegs_of_them(real_data: Path) -> None:
    """Each is the same image as its own copy, and as no other's."""
    with (real_data / "originals" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:12]
    large = [(real_data / "originals" / row["file"]).read_bytes() for row in rows]
    small = [(real_data / "nih14" / row["nih14_file"]).read_bytes() for row in rows]
    one, other = ([local_contrast(seen(data)) for data in some] for some in (large, small))
    likenesses = np.array([[likeness(a, b) for b in other] for a in one])
    assert np.diag(likenesses).min() > 0.95
    assert likenesses[~np.eye(len(rows), dtype=bool)].max() < 0.6
