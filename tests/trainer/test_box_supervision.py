"""Where findings lie on training images: boxes, else where boxes usually are."""

from pathlib import Path

import numpy as np
import pytest
from xemplar_trainer.box_supervision import SIDE, BoxSupervision, box_supervision_of, to_input_frame
from xemplar_trainer.data import TrainingImages, frontal_images

from tests.trainer.drawn import FINDINGS, RECIPE, drawn_set
from xemplar.data.boxes import Box
from xemplar.data.datasets import Dataset
from xemplar.errors import ConfigurationError
from xemplar.imaging.preprocess import PreprocessSpec, input_region

MASS = Box("Mass", "Mass", 0.25, 0.25, 0.5, 0.5)


def test_an_image_with_a_box_has_it_for_its_finding_and_the_usual_place_for_others() -> None:
    boxes = BoxSupervision({3: (MASS,)}, ("Effusion", "Mass"))
    masks, which = boxes.masks(3)
    assert which.tolist() == [0, 1]
    assert np.array_equal(masks[0], boxes.prior)
    assert masks[1].sum() == (SIDE / 4) ** 2
    assert masks[1][SIDE // 4 : SIDE // 2, SIDE // 4 : SIDE // 2].all()


def test_several_boxes_of_a_finding_are_one_place() -> None:
    other = Box("Mass", "Mass", 0.75, 0.75, 1.0, 1.0)
    masks, _ = BoxSupervision({0: (MASS, other)}, ("Mass",)).masks(0)
    assert masks[1].sum() == 2 * (SIDE / 4) ** 2


def test_an_opacity_under_another_name_has_the_same_place() -> None:
    box = Box("Lung Opacity", "Pneumonia", 0.5, 0.5, 0.75, 0.75)
    masks, which = BoxSupervision({0: (box,)}, ("Infiltration", "Mass", "Pneumonia")).masks(0)
    assert [bool(n) for n in which] == [True, False, True]
    assert np.array_equal(masks[which[0]], masks[which[2]])


def test_the_usual_place_is_where_boxes_lie_on_either_side() -> None:
    usual = BoxSupervision({0: (MASS,)}, ("Mass",)).prior
    assert np.allclose(usual, usual[:, ::-1])
    assert usual[3 * SIDE // 8, 3 * SIDE // 8] == usual.max() == 1
    assert usual[0, 0] < 0.01


def test_a_data_set_with_enough_boxes_has_a_usual_place_of_its_own() -> None:
    low = Box("Mass", "Mass", 0.6, 0.75, 0.8, 0.95)
    boxes = dict.fromkeys(range(20), (MASS,)) | dict.fromkeys(range(20, 25), (low,))
    sources = ["ours"] * 21 + ["theirs"] * 5 + ["none"]
    made = BoxSupervision(boxes, ("Mass",), sources)
    ours, theirs, none = (made.masks(n)[0][0] for n in (0, 25, 26))
    assert np.array_equal(theirs, made.prior)  # five images are too few
    assert np.array_equal(none, made.prior)
    rows = np.arange(SIDE) + 0.5
    assert rows @ ours.sum(axis=1) / ours.sum() < rows @ theirs.sum(axis=1) / theirs.sum()


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    made = drawn_set(tmp_path / "set")
    rows = ["file,label,x,y,w,h,provenance", "images/1.png,Mass,20,20,24,20,me"]
    (made.root / "boxes.csv").write_text("\n".join(rows) + "\n")
    return made


def test_boxes_are_read_from_the_folder_of_the_data_set_and_move_with_the_image(
    dataset: Dataset,
) -> None:
    images = frontal_images([dataset], RECIPE)["train"]
    boxes = box_supervision_of([dataset], images, FINDINGS)
    still = TrainingImages(images, RECIPE, boxes=boxes)[1, 1]
    assert still.location.shape == (2, 2, 2)
    assert still.location_weight.tolist() == [1.0, 0.0]
    # the white block is the mass: where the image is white, its mask is 1
    moved = TrainingImages(images, RECIPE, boxes=boxes, augmented=True)
    assert any(not np.allclose(moved[epoch, 1].location, still.location) for epoch in (1, 2, 3))


def test_the_plan_of_a_padded_image_lies_where_the_image_lies() -> None:
    spec = PreprocessSpec(size=64, fit="pad")
    mask = to_input_frame(np.ones((1, SIDE, SIDE), np.float32), input_region(spec, 100, 50), 64)[0]
    assert mask[:, 16:48].all()
    assert mask[:, :16].sum() == mask[:, 48:].sum() == 0


@pytest.mark.parametrize("shape", [(100, 50), (320, 261), (57, 320), (100, 100)])
def test_a_box_keeps_its_area_and_its_middle_in_a_padded_image(shape: tuple[int, int]) -> None:
    """Nothing is rounded to cells: sums over a mask are those of the box itself."""
    spec = PreprocessSpec(size=224, fit="pad")
    region = input_region(spec, *shape)
    box = Box("Mass", "Mass", 0.31, 0.44, 0.375, 0.52)
    masks, which = BoxSupervision({0: (box,)}, ("Mass",)).masks(0)
    mask = to_input_frame(masks, region, 224)[which[0]]
    cell = SIDE / 224
    left, right = ((region.x + region.width * v) * cell for v in (box.left, box.right))
    top, bottom = ((region.y + region.height * v) * cell for v in (box.top, box.bottom))
    assert mask.sum() == pytest.approx((right - left) * (bottom - top), rel=1e-4)
    middles = np.arange(SIDE) + 0.5
    # each of the two frames knows a place to the share of a cell: half a cell at most
    assert mask.sum(axis=0) @ middles / mask.sum() == pytest.approx((left + right) / 2, abs=0.5)
    assert mask.sum(axis=1) @ middles / mask.sum() == pytest.approx((top + bottom) / 2, abs=0.5)
    assert 0 <= mask.min() <= mask.max() <= 1 + 1e-6


def test_boxes_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    bare = drawn_set(tmp_path / "bare")
    images = frontal_images([bare], RECIPE)["train"]
    with pytest.raises(ConfigurationError, match="no training image has a box"):
        box_supervision_of([bare], images, FINDINGS)
