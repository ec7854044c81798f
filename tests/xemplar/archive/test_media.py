"""Stored images: exact inputs, small display copies without headers, clear errors."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import drawn_image, encoded
from xemplar.archive.media import Media
from xemplar.errors import CorruptArtefact, InvalidArgument, NotFound
from xemplar.imaging import Radiograph, decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess

SPEC = PreprocessSpec(size=64)


def kept(media: Media, data: bytes, spec: PreprocessSpec = SPEC) -> Radiograph:
    image = decode(data)
    media.write(image, preprocess(image, spec), spec)
    return image


def test_the_input_is_restored_bit_for_bit(tmp_path: Path) -> None:
    media = Media(tmp_path)
    image = kept(media, encoded(drawn_image(1)))
    np.testing.assert_array_equal(media.input(image.sha256, SPEC), preprocess(image, SPEC))


def test_each_preprocessing_keeps_its_own_input(tmp_path: Path) -> None:
    media, padded = Media(tmp_path), PreprocessSpec(size=64, fit="pad")
    image = kept(media, encoded(drawn_image(1)))
    assert not media.has(image.sha256, padded)
    kept(media, encoded(drawn_image(1)), padded)
    assert media.has(image.sha256, SPEC)
    np.testing.assert_array_equal(media.input(image.sha256, padded), preprocess(image, padded))
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_the_display_copy_looks_like_the_image(tmp_path: Path) -> None:
    media = Media(tmp_path)
    image = kept(media, encoded(drawn_image(1)))
    display = media.display(image.sha256)
    assert display.shape == image.pixels.shape
    assert np.abs(display.astype(int) - image.pixels).mean() < 3


def test_the_display_copy_of_a_large_image_keeps_its_aspect_ratio(tmp_path: Path) -> None:
    media = Media(tmp_path)
    image = kept(media, encoded(drawn_image(1, 3000, 1500)))
    assert media.display(image.sha256).shape == (1024, 512)


def test_no_header_survives_and_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"  # ImageDescription
    exif[0x0112] = 6  # Orientation: turn by 90 degrees
    data = encoded(drawn_image(1, 96, 80), "JPEG", exif=exif, comment=b"Jane Doe")
    assert b"Jane Doe" in data
    media = Media(tmp_path)
    image = kept(media, data)
    copy = media.display_bytes(image.sha256)
    picture = Image.open(io.BytesIO(copy))
    assert picture.mode == "L"
    assert picture.size == (96, 80)
    assert not picture.getexif()
    assert all(b"Jane" not in path.read_bytes() for path in tmp_path.rglob("*.*"))


def test_rewriting_replaces_a_truncated_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    media = Media(tmp_path)
    image = kept(media, encoded(drawn_image(1)))
    for path in tmp_path.rglob("*.*"):
        path.write_bytes(b"")
    kept(media, encoded(drawn_image(1)))
    np.testing.assert_array_equal(media.input(image.sha256, SPEC), preprocess(image, SPEC))
    assert len(list(tmp_path.rglob("*.*"))) == 2
    media.sync()


def test_an_image_that_was_never_stored_is_not_found(tmp_path: Path) -> None:
    media = Media(tmp_path)
    for ask in (media.display, media.display_bytes, lambda sha: media.input(sha, SPEC)):
        with pytest.raises(NotFound, match="index its image again"):
            ask("a" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_a_digest_is_accepted_as_a_name(tmp_path: Path, digest: str) -> None:
    with pytest.raises(NotFound, match="no sha256 digest"):
        Media(tmp_path).display(digest)


@pytest.mark.parametrize("damage", [b"", b"no picture", encoded(drawn_image(2, 70, 70))])
def test_a_damaged_input_is_rejected(tmp_path: Path, damage: bytes) -> None:
    media = Media(tmp_path)
    image = kept(media, encoded(drawn_image(1)))
    next(tmp_path.rglob("*.png")).write_bytes(damage)
    with pytest.raises(CorruptArtefact, match="remove it"):
        media.input(image.sha256, SPEC)


def test_an_input_of_the_wrong_size_is_not_stored(tmp_path: Path) -> None:
    image = decode(encoded(drawn_image(1)))
    with pytest.raises(InvalidArgument, match=r"not uint8 \(64, 64\)"):
        Media(tmp_path).write(image, np.zeros((32, 32), np.uint8), SPEC)
