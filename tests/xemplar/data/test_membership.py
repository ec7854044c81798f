"""Digests of a training's patients and pictures: what they recognise, and what they do not tell."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from xemplar.data.datasets import DatasetImage
from xemplar.data.membership import (
    BITS,
    STRANGERS,
    Membership,
    contrasts,
    development_images,
)
from xemplar.data.splits import PatientSplit
from xemplar.errors import CorruptArtefact
from xemplar.imaging import decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess
from xemplar.phantom import phantom

SPEC = PreprocessSpec(size=224)
SALT = bytes(range(16))


def person(number: int, **fields: object) -> DatasetImage:
    known = {"path": Path(f"{number}.png"), "source": "ours", "patient": f"patient-{number}"}
    return DatasetImage(**{**known, **fields})


def of_people(count: int, salt: bytes = SALT) -> Membership:
    """The digests of people whose files cannot be read."""
    return Membership.of([person(n) for n in range(count)], SPEC, salt)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[DatasetImage]:
    """Six phantoms as files."""
    folder = tmp_path_factory.mktemp("films")
    for seed in range(6):
        cv2.imwrite(str(folder / f"{seed}.png"), phantom(seed, size=256).pixels)
    return [person(n, path=folder / f"{n}.png") for n in range(6)]


def seen(files: Sequence[bytes]) -> np.ndarray:
    return contrasts([preprocess(decode(data), SPEC) for data in files])


def test_every_patient_of_the_training_is_recognised_under_any_file() -> None:
    members = of_people(300)
    again = [person(n, path=Path("elsewhere.dcm"), file="x", split="test") for n in range(300)]
    assert members.has_patients(again).all()


def test_of_strangers_about_as_many_as_promised_have_a_digest_of_the_training() -> None:
    # 20,000 strangers, of whom one in 1,024 to 2,048 is taken for a patient: 10 to 20 expected
    members = of_people(1000)
    strangers = [person(n) for n in range(1000, 21000)]
    expected = members.strangers * len(strangers)
    assert 2.0 ** -(STRANGERS + 1) < members.strangers <= 2.0**-STRANGERS
    # four standard deviations of a Poisson number
    assert abs(members.has_patients(strangers).sum() - expected) <= 4 * expected**0.5


def test_unknown_patients_and_those_of_other_identity_domains_are_nobody() -> None:
    members = of_people(5)
    assert not members.has_patients([person(0, patient=None), person(0, source="theirs")]).any()
    assert members.domains == ("ours",)
    shared = Membership.of([person(0, patients="city")], SPEC, SALT)
    assert shared.has_patients([person(0, source="theirs", patients="city")]).all()


def test_digests_of_two_checkpoints_cannot_be_joined() -> None:
    one, other = (Membership.of([person(n) for n in range(200)], SPEC) for _ in range(2))
    assert one.salt != other.salt
    # at 18 bits, 200 of 200 random digests hit another 200 with chance 200 / 2**18 each
    assert len(set(one.patients.tolist()) & set(other.patients.tolist())) <= 3


@pytest.mark.parametrize("quality", [30, 75])
@pytest.mark.parametrize("scale", [1.0, 0.75])
def test_reencoded_and_rescaled_copies_are_recognised(
    films: list[DatasetImage], quality: int, scale: float
) -> None:
    members = Membership.of(films[:4], SPEC, SALT)
    copies = []
    for film in films:
        pixels = cv2.imread(str(film.path), cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        copies.append(cv2.imencode(".jpg", small, options)[1].tobytes())
    assert members.has_pictures(seen(copies)).tolist() == [True] * 4 + [False] * 2


def test_a_uniform_picture_is_no_picture(films: list[DatasetImage]) -> None:
    members = Membership.of(films, SPEC, SALT)
    blank = np.zeros((1, 224, 224), np.uint8)
    assert not members.has_pictures(contrasts(blank)).any()


def test_files_that_cannot_be_read_have_no_picture(films: list[DatasetImage]) -> None:
    members = Membership.of([*films[:2], person(9, path=Path("absent.png"))], SPEC, SALT)
    assert members.pictures.shape == (2, BITS // 8)
    assert len(members.patients) == 3


def test_ten_thousand_films_take_less_than_half_a_megabyte() -> None:
    members = of_people(10_000)
    pictures = np.random.default_rng(0).integers(0, 256, (10_000, BITS // 8), np.uint8)
    full = Membership(members.salt, members.bits, members.patients, pictures, members.domains)
    assert len(json.dumps(full.to_json())) < 500_000


def test_what_a_card_keeps_is_the_same_when_read_again(films: list[DatasetImage]) -> None:
    members = Membership.of(films, SPEC, SALT)
    kept = json.loads(json.dumps(members.to_json()))
    assert not any(film.patient in json.dumps(kept) for film in films if film.patient)
    again = Membership.from_json(kept)
    assert again.to_json() == members.to_json()
    assert again.has_patients(films).all()
    assert again.has_pictures(seen([film.path.read_bytes() for film in films])).all()


@pytest.mark.parametrize("name", ["salt", "bits", "patients", "pictures", "domains"])
def test_damaged_digests_are_refused(name: str) -> None:
    kept = of_people(3).to_json()
    for damaged in ({**kept, name: "%"}, {k: v for k, v in kept.items() if k != name}):
        if name == "domains" and damaged.get(name):
            continue  # any text is a name
        with pytest.raises(CorruptArtefact, match="digests of its training"):
            Membership.from_json(damaged)


def test_images_of_train_and_val_are_those_that_a_training_learns_from() -> None:
    from xemplar.data.datasets import Dataset

    images = tuple(person(n, split=s) for n, s in enumerate(["train", "val", "test", "box"]))
    dataset = Dataset("ours", Path(), images, (), "d")
    assert development_images([dataset], PatientSplit()) == list(images[:2])
