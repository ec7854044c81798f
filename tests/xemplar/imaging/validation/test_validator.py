"""Indexed-like images pass; rotated, inverted and out-of-distribution ones are reported."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from xemplar.errors import NotARadiograph
from xemplar.imaging import decode
from xemplar.imaging.preprocess import preprocess
from xemplar.imaging.validation.validator import (
    MIN_IMAGES,
    ORIENTATIONS,
    InputValidator,
    Orientation,
    ValidationResult,
)
from xemplar.model.checkpoint import Checkpoint, default_checkpoint, load
from xemplar.model.encoder import Encoder, Precision, open_encoder
from xemplar.phantom import phantom
from xemplar.retrieval.snapshot import fit_validator

Inputs = npt.NDArray[np.uint8]
Check = Callable[[Inputs], ValidationResult]


def images(first: int, count: int) -> Inputs:
    return np.stack([phantom(seed, size=64).pixels for seed in range(first, first + count)])


@pytest.fixture(scope="module")
def encoder(tiny: Checkpoint) -> Encoder:
    return open_encoder(tiny, precision=Precision.FLOAT32)


@pytest.fixture(scope="module")
def validator(encoder: Encoder) -> InputValidator:
    made = fit_validator(images(0, 150), encoder)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def check(validator: InputValidator, encoder: Encoder) -> Check:
    return check_of(validator, encoder)


def check_of(validator: InputValidator, encoder: Encoder) -> Check:
    """Judges inputs by what the encoder's network sees in them."""

    def see(inputs: Inputs) -> npt.NDArray[np.float64]:
        return encoder.encode(inputs[None]).pooled()[0]

    def check(inputs: Inputs) -> ValidationResult:
        inputs = np.ascontiguousarray(inputs)
        return validator.check(inputs, see(inputs), see)

    return check


@pytest.fixture(scope="module")
def new() -> Inputs:
    return images(1000, 30)


def warnings_of(check: Check, inputs: Inputs) -> list[str]:
    return ["; ".join(check(one).warnings) for one in inputs]


def test_images_like_the_indexed_ones_pass(check: Check, new: Inputs) -> None:
    verdicts = [check(one) for one in new]
    assert sum(bool(verdict.warnings) for verdict in verdicts) <= 1
    assert not any(verdict.rejected for verdict in verdicts)
    assert 0.2 < np.median([verdict.distance for verdict in verdicts]) < 0.8


@pytest.mark.parametrize(
    ("clockwise", "said"),
    [(1, "a quarter turn clockwise"), (2, "upside down"), (3, "a quarter turn anticlockwise")],
)
def test_a_rotated_image_is_reported(check: Check, new: Inputs, clockwise: int, said: str) -> None:
    turned = np.rot90(new, -clockwise, axes=(1, 2))
    assert all(said in warning for warning in warnings_of(check, turned))


def test_an_inverted_image_is_reported_also_when_it_is_rotated(check: Check, new: Inputs) -> None:
    assert all("inverted" in warning for warning in warnings_of(check, 255 - new))
    both = np.rot90(255 - new, 2, axes=(1, 2))
    named = [w for w in warnings_of(check, both) if "inverted" in w and "upside down" in w]
    assert len(named) == len(new)


@pytest.mark.parametrize(
    ("orientation", "doubts"),
    [
        (Orientation(), ()),
        (Orientation(1), ("turned_right",)),
        (Orientation(3, inverted=True), ("turned_left", "inverted")),
    ],
)
def test_doubts_are_the_kinds_of_the_warnings(
    orientation: Orientation, doubts: tuple[str, ...]
) -> None:
    assert orientation.doubts == doubts
    assert len(orientation.warnings()) == len(doubts)


def test_exposure_and_contrast_do_not_affect_the_orientation(
    validator: InputValidator, new: Inputs
) -> None:
    pale = (new * 0.5 + 60).astype(np.uint8)
    for orientation in ORIENTATIONS:
        assert all(
            validator.orientation(transformed(one, orientation)) == orientation for one in pale
        )


def transformed(image: Inputs, orientation: Orientation) -> Inputs:
    """Turn and invert an upright image so that it has the given orientation."""
    turned = np.ascontiguousarray(np.rot90(image, -orientation.turned))
    return ~turned if orientation.inverted else turned


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_correcting_undoes_the_orientation(new: Inputs, orientation: Orientation) -> None:
    assert np.array_equal(orientation.corrected(transformed(new[0], orientation)), new[0])


def hand() -> Inputs:
    """A palm with five bright fingers on black, as an image of a hand has them."""
    picture = np.zeros((64, 64), np.uint8)
    cv2.ellipse(picture, (32, 46), (13, 12), 0, 0, 360, 150, -1)
    for tip in ((10, 30), (20, 8), (29, 4), (38, 6), (47, 14)):
        cv2.line(picture, (32, 46), tip, 190, 5)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def page() -> Inputs:
    picture = np.full((64, 64), 255, np.uint8)
    picture[8:56:6, 6:58] = 20
    return picture


def noise() -> Inputs:
    return np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)


OTHER = pytest.mark.parametrize("picture", [hand(), page(), noise()], ids=["hand", "page", "noise"])


@pytest.mark.parametrize("picture", [hand(), page()], ids=["hand", "page"])
def test_images_that_show_no_chest_are_rejected_with_the_reason(
    check: Check, picture: Inputs
) -> None:
    verdict = check(picture)
    assert verdict.rejected
    assert "as far from the indexed images as usual ones" in verdict.warnings[0]
    with pytest.raises(NotARadiograph, match="send a frontal chest radiograph"):
        verdict.require_accepted()


@OTHER
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_that_show_no_chest_are_never_reported_as_rotated(
    check: Check, picture: Inputs, orientation: Orientation
) -> None:
    (warning,) = check(transformed(picture, orientation)).warnings
    assert "turned back" not in warning
    assert "the indexed" in warning


def seen(validator: InputValidator, times: float) -> npt.NDArray[np.float64]:
    """Activations that lie so many times as far from the indexed images as usual ones."""
    far = validator.activations.mean + validator.activations.scale
    distance = validator.activations.distance(far)
    return validator.activations.mean + validator.activations.scale * (times / distance)


@pytest.mark.parametrize(
    ("came", "upright", "said"),
    [
        (1.5, 0.5, "upside down"),
        (0.9, 0.5, "upside down"),
        (1.5, 1.2, "is unlike the indexed ones"),
        (0.5, 1.5, ""),
    ],
)
def test_a_rotation_is_reported_only_if_correcting_it_helps(
    validator: InputValidator, new: Inputs, came: float, upright: float, said: str
) -> None:
    image = transformed(new[0], Orientation(2))
    verdict = validator.check(image, seen(validator, came), lambda _: seen(validator, upright))
    assert [said in warning for warning in verdict.warnings] == [True] * bool(said)
    assert verdict.distance == pytest.approx(came)


def test_a_typical_layout_with_unlike_activations_has_its_own_warning(
    validator: InputValidator, new: Inputs
) -> None:
    """As a child's image is among those of adults."""
    verdict = validator.check(new[0], seen(validator, 3.0), lambda _: pytest.fail("upright"))
    assert not verdict.rejected
    assert "3.0 times as far" in verdict.warnings[0]
    assert "it may show a child among adults" in verdict.warnings[0]


def test_too_few_images_give_no_validator(encoder: Encoder) -> None:
    assert fit_validator(images(0, 20)[[0] * (MIN_IMAGES - 1)], encoder) is None


def test_an_index_of_identical_images_causes_no_division_by_zero(
    encoder: Encoder,
) -> None:
    same = fit_validator(images(0, 1)[[0] * MIN_IMAGES], encoder)
    assert same is not None
    check = check_of(same, encoder)
    assert check(images(0, 1)[0]).warnings == ()
    assert np.isfinite(check(images(7, 1)[0]).distance)


def test_a_black_image_is_checked(check: Check) -> None:
    assert np.isfinite(check(np.zeros((64, 64), np.uint8)).distance)


def test_inputs_and_activations_of_different_counts_are_rejected(encoder: Encoder) -> None:
    activations = encoder.encode(images(0, 2)).pooled()
    with pytest.raises(ValueError, match=r"not \(3, 64, 64\) and \(2, "):
        InputValidator.fit(images(0, 3), activations)


def test_a_saved_validator_gives_the_same_results(
    validator: InputValidator, check: Check, encoder: Encoder, new: Inputs, tmp_path: Path
) -> None:
    validator.save(tmp_path / "kept", "digest")
    kept = InputValidator.load(tmp_path / "kept", "digest")
    assert kept is not None
    again = check_of(kept, encoder)
    for one in (*new[:3], hand()):
        assert again(one).warnings == check(one).warnings
        assert again(one).distance == pytest.approx(check(one).distance)


def test_missing_damaged_or_foreign_files_give_no_validator(
    validator: InputValidator, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    assert InputValidator.load(kept, "digest") is None
    validator.save(kept, "digest")
    assert InputValidator.load(kept, "another") is None
    kept.write_bytes(kept.read_bytes()[:1000])
    assert InputValidator.load(kept, "digest") is None


def test_real_images_pass_and_rotated_inverted_and_other_ones_are_reported(real_data: Path) -> None:
    """Few of each, as the network takes its time; `benchmarks/input_check.py` has the figures."""
    encoder, root = open_encoder(load(default_checkpoint())), real_data / "nih14"
    with (root / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))

    def inputs(splits: set[str], count: int) -> Inputs:
        names = [row["file"] for row in rows if row["split"] in splits][:count]
        spec = encoder.checkpoint.card.spec
        return np.stack([preprocess(decode((root / n).read_bytes()), spec) for n in names])

    validator = fit_validator(inputs({"train"}, 150), encoder)
    assert validator is not None
    check, unseen = check_of(validator, encoder), inputs({"val", "test"}, 50)
    assert sum(bool(warning) for warning in warnings_of(check, unseen)) <= 1
    assert sum("inverted" in w for w in warnings_of(check, ~unseen[:20])) >= 19
    upside_down = np.rot90(unseen[:20], 2, axes=(1, 2))
    assert sum("upside down" in w for w in warnings_of(check, upside_down)) >= 19
    others = [np.asarray(cv2.resize(one, (224, 224)), np.uint8) for one in (hand(), page())]
    assert all(check(one).rejected for one in others)
