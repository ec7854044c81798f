"""Validation logits -> probabilities that mean what they say."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xemplar_trainer.calibration import FEWEST, calibrate
from xemplar_trainer.metrics import Outputs

from xemplar.model.checkpoint import Calibration

USUAL = np.zeros((1, 1, 1), np.float32)


def calibration(
    logits: npt.NDArray[np.float64],
    present: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_] | None = None,
) -> Calibration:
    column = [logits[:, None], present[:, None]]
    column.append(np.ones_like(column[1]) if known is None else known[:, None])
    logit, target, mask = (part.astype(np.float32) for part in column)
    [found] = calibrate(Outputs(logit, target, mask, ["ours"] * len(logits), ["Mass"], USUAL))
    return found


def drawn(
    images: int, scale: float, offset: float, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Logits, and findings that are present with probability sigmoid(scale * logit + offset)."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, images)
    chance = 1 / (1 + np.exp(-(scale * logits + offset)))
    return logits, generator.random(images) < chance


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (0.7, -1.2), (2.5, 1.0)])
def test_known_parameters_are_recovered(scale: float, offset: float) -> None:
    found = calibration(*drawn(40_000, scale, offset))
    # the standard errors at 40,000 images are below 0.02 (scale) and 0.02 (offset)
    assert found.scale == pytest.approx(scale, abs=0.08)
    assert found.offset == pytest.approx(offset, abs=0.08)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_a_higher_logit_never_means_a_lower_probability(seed: int) -> None:
    found = calibration(*drawn(60, 0.5, -0.5, seed))
    assert found.scale > 0
    assert 0 <= found.threshold <= 1


def test_the_threshold_is_where_the_classes_part_best() -> None:
    # absent -3, -2, -1 (and one at 2); present 1, 1.5, 2, 3 ...: from logit 1 on it is present
    logits = np.array([-3, -2.5, -2, -1.5, -1, 2, 1, 1.5, 2, 2.5, 3, 3.5])
    present = np.array([False] * 6 + [True] * 6)
    found = calibration(logits, present)
    probability = 1 / (1 + np.exp(-(found.scale * logits + found.offset)))
    called = probability >= found.threshold - 1e-6
    np.testing.assert_array_equal(called, logits >= 1)


def test_perfectly_parted_images_do_not_make_certainty() -> None:
    # Platt's targets for 6 and 6 images are 7/8 and 1/8, so no probability runs to 0 or 1
    logits = np.concatenate([np.linspace(-2, -1, 6), np.linspace(1, 2, 6)])
    found = calibration(logits, logits > 0)
    assert 0.5 < found.scale < 3
    assert 1 / (1 + np.exp(-(found.scale * 2 + found.offset))) < 0.99


@pytest.mark.parametrize("positives", [0, FEWEST - 1])
def test_too_few_images_of_either_kind_keep_the_raw_sigmoid(positives: int) -> None:
    logits = np.linspace(-1, 1, 40)
    present = np.arange(40) >= 40 - positives
    assert calibration(logits, present) == Calibration(1, 0, 0.5)
    assert calibration(-logits, ~present) == Calibration(1, 0, 0.5)


def test_unknown_images_count_as_no_images() -> None:
    logits = np.linspace(-1, 1, 40)
    known = np.arange(40) >= 40 - FEWEST + 1  # the positives but one
    assert calibration(logits, logits > 0, known) == Calibration(1, 0, 0.5)


def test_a_network_that_knows_nothing_keeps_the_raw_sigmoid() -> None:
    # the higher the logit, the rarer the finding: a fitted slope would be negative
    logits = np.linspace(-1, 1, 40)
    assert calibration(logits, logits < 0) == Calibration(1, 0, 0.5)


def test_the_threshold_is_the_lowest_of_the_data_sets() -> None:
    # well and ill meet at logit 0 among the adults and at logit 4 among the children, of whom
    # there are more: one threshold for all would lie at 4, and call every adult well
    adults = np.arange(-10, 10) / 10 + 0.05
    children = np.arange(-50, 50) / 10 + 4.05
    logits = np.concatenate([adults, children]).astype(np.float32)[:, None]
    present = np.concatenate([adults > 0, children > 4]).astype(np.float32)[:, None]
    sources = ["adults"] * len(adults) + ["children"] * len(children)
    known = np.ones_like(present)
    [both] = calibrate(Outputs(logits, present, known, sources, ["Pneumonia"], USUAL))
    at = np.log(both.threshold / (1 - both.threshold))
    assert (at - both.offset) / both.scale == pytest.approx(0.05, abs=1e-4)
