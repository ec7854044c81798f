"""Which images, which finding of each, and where its boxes lie in the network's input."""

from itertools import islice

import numpy as np
import pytest
from xemplar_evaluator.faithfulness.samples import box_mask, drawn_samples, onto_input

from tests.evaluator.faithfulness.made import drawn, made_images
from xemplar.data.boxes import Box
from xemplar.errors import UnknownFinding
from xemplar.imaging.preprocess import PreprocessSpec

FINDINGS = ("Effusion", "Mass", "Nodule")
SPEC = PreprocessSpec(size=64)
INPUTS = drawn(6, 64)


def box(finding: str, left: float = 0.25, right: float = 0.5) -> Box:
    return Box(finding, finding, left, 0.5, right, 1.0)


def test_images_with_boxes_come_first_each_once_and_with_one_of_its_findings() -> None:
    images = made_images(
        INPUTS,
        boxes={1: (box("Mass"), box("Nodule")), 4: (box("Effusion"),)},
        labels={0: {"Mass": 1}},
    )
    samples = list(drawn_samples(images, FINDINGS, SPEC, seed=0))
    assert sorted(sample.row for sample in samples) == [1, 4]
    found = {sample.row: FINDINGS[sample.finding] for sample in samples}
    assert found[4] == "Effusion"
    assert found[1] in ("Mass", "Nodule")


def test_without_boxes_images_with_a_label_are_drawn_and_have_no_mask() -> None:
    labels = {0: {"Mass": 1, "Nodule": 0}, 2: {"Hernia": 1}, 3: {"Nodule": -1}}
    (sample,) = drawn_samples(made_images(INPUTS, labels=labels), FINDINGS, SPEC, seed=0)
    assert (sample.row, FINDINGS[sample.finding], sample.mask) == (0, "Mass", None)


def test_images_without_boxes_and_labels_give_no_units() -> None:
    assert list(drawn_samples(made_images(INPUTS), FINDINGS, SPEC, seed=0)) == []


def test_a_seed_gives_one_order_and_another_seed_another() -> None:
    images = made_images(INPUTS, boxes={row: (box("Mass"), box("Nodule")) for row in range(6)})

    def rows(seed: int, count: int = 6) -> list[tuple[int, int]]:
        samples = islice(drawn_samples(images, FINDINGS, SPEC, seed), count)
        return [(sample.row, sample.finding) for sample in samples]

    assert rows(0) == rows(0)
    assert rows(0, count=3) == rows(0)[:3]
    assert rows(0) != rows(1)


def test_a_box_of_a_finding_that_the_checkpoint_lacks_is_refused() -> None:
    images = made_images(INPUTS, boxes={0: (box("Fracture"),)})
    with pytest.raises(UnknownFinding, match="Fracture"):
        next(drawn_samples(images, FINDINGS, SPEC, seed=0))


def test_a_stretched_image_keeps_shares() -> None:
    one = box("Mass")
    assert onto_input(one, SPEC, height=300, width=100) == one


def test_a_padded_image_moves_and_shrinks_the_box() -> None:
    # 128 x 64 pixels (height x width) in 64 x 64: 64 x 32 in the middle, from x = 16 to 48.
    # The box from 0.25 to 0.5 of the width lies at 16 + 8 = 24 to 16 + 16 = 32 pixels.
    moved = onto_input(box("Mass"), PreprocessSpec(64, "pad"), height=128, width=64)
    assert (moved.left, moved.right) == (24 / 64, 32 / 64)
    assert (moved.top, moved.bottom) == (0.5, 1.0)


def test_the_mask_is_the_union_of_the_findings_boxes_alone() -> None:
    images = made_images(
        INPUTS, boxes={0: (box("Mass"), box("Mass", 0.4, 0.75), box("Nodule", 0, 1))}
    )
    mask = box_mask(images, 0, "Mass", SPEC)
    # rows 32 to 63, columns 16 to 47: half of the height and of the width
    assert mask is not None
    assert mask.mean() == 0.25
    assert np.array_equal(np.flatnonzero(mask.any(axis=0)), np.arange(16, 48))
    assert box_mask(images, 0, "Effusion", SPEC) is None
