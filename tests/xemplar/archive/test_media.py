"""The kept pictures: exact inputs, small display copies without headers, and clear refusals."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.films import drawn_film, encoded
from xemplar.archive.media import Media
from xemplar.errors import CorruptArtefact, InvalidArgument, NotFound
from xemplar.imaging import Radiograph, decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess

SPEC = PreprocessSpec(size=64)


def kept(media: Media, data: bytes, spec: PreprocessSpec = SPEC) -> Radiograph:
    film = decode(data)
    media.write(film, preprocess(film, spec), spec)
    return film


def test_the_input_comes_back_bit_for_bit(tmp_path: Path) -> None:
    media = Media(tmp_path)
    film = kept(media, encoded(drawn_film(1)))
    np.testing.assert_array_equal(media.input(film.sha256, SPEC), preprocess(film, SPEC))


def test_each_preprocessing_keeps_its_own_input(tmp_path: Path) -> None:
    media, padded = Media(tmp_path), PreprocessSpec(size=64, fit="pad")
    film = kept(media, encoded(drawn_film(1)))
    assert not media.has(film.sha256, padded)
    kept(media, encoded(drawn_film(1)), padded)
    assert media.has(film.sha256, SPEC)
    np.testing.assert_array_equal(media.input(film.sha256, padded), preprocess(film, padded))
    assert len(list(tmp_path.rglob("*.*"))) == 3


def test_the_display_copy_looks_like_the_film(tmp_path: Path) -> None:
    media = Media(tmp_path)
    film = kept(media, encoded(drawn_film(1)))
    display = media.display(film.sha256)
    assert display.shape == film.pixels.shape
    assert np.abs(display.astype(int) - film.pixels).mean() < 3


def test_a_large_film_is_shown_smaller_with_its_aspect_ratio(tmp_path: Path) -> None:
    media = Media(tmp_path)
    film = kept(media, encoded(drawn_film(1, 3000, 1500)))
    assert media.display(film.sha256).shape == (1024, 512)


def test_no_header_survives_and_a_turned_film_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"  # ImageDescription
    exif[0x0112] = 6  # Orientation: turn by 90 degrees
    data = encoded(drawn_film(1, 96, 80), "JPEG", exif=exif, comment=b"Jane Doe")
    assert b"Jane Doe" in data
    media = Media(tmp_path)
    film = kept(media, data)
    copy = media.display_bytes(film.sha256)
    picture = Image.open(io.BytesIO(copy))
    assert picture.mode == "L"
    assert picture.size == (96, 80)
    assert not picture.getexif()
    assert all(b"Jane" not in path.read_bytes() for path in tmp_path.rglob("*.*"))


def test_writing_again_replaces_a_torn_file_and_leaves_nothing_beside(tmp_path: Path) -> None:
    media = Media(tmp_path)
    film = kept(media, encoded(drawn_film(1)))
    for path in tmp_path.rglob("*.*"):
        path.write_bytes(b"")
    kept(media, encoded(drawn_film(1)))
    np.testing.assert_array_equal(media.input(film.sha256, SPEC), preprocess(film, SPEC))
    assert len(list(tmp_path.rglob("*.*"))) == 2
    media.sync()


def test_what_was_never_kept_is_not_found(tmp_path: Path) -> None:
    media = Media(tmp_path)
    for ask in (media.display, media.display_bytes, lambda sha: media.input(sha, SPEC)):
        with pytest.raises(NotFound, match="index its film again"):
            ask("a" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_a_digest_names_a_picture(tmp_path: Path, digest: str) -> None:
    with pytest.raises(NotFound, match="no sha256 digest"):
        Media(tmp_path).display(digest)


@pytest.mark.parametrize("damage", [b"", b"no picture", encoded(drawn_film(2, 70, 70))])
def test_a_damaged_input_is_refused(tmp_path: Path, damage: bytes) -> None:
    media = Media(tmp_path)
    film = kept(media, encoded(drawn_film(1)))
    next(tmp_path.rglob("*.png")).write_bytes(damage)
    with pytest.raises(CorruptArtefact, match="remove it"):
        media.input(film.sha256, SPEC)


def test_an_input_of_another_size_is_not_kept(tmp_path: Path) -> None:
    film = decode(encoded(drawn_film(1)))
    with pytest.raises(InvalidArgument, match=r"not uint8 \(64, 64\)"):
        Media(tmp_path).write(film, np.zeros((32, 32), np.uint8), SPEC)
