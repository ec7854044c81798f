"""Validation logits -> probabilities that mean what they say, within one population."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from xemplar_trainer.calibration import (
    FEWEST,
    SLOPES,
    LabelCounts,
    calibrate,
    choose_threshold,
    count_labels,
)
from xemplar_trainer.metrics import Outputs

from xemplar.data.datasets import DatasetImage
from xemplar.model.calibration import Calibration, Population
from xemplar.model.checkpoint import Card, Checkpoint

USUAL = np.zeros((1, 1, 1), np.float32)
OURS = "adults"


def outputs(
    logits: npt.NDArray[np.float64],
    present: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_] | None = None,
    sources: list[str] | None = None,
) -> Outputs:
    known = np.ones_like(present) if known is None else known
    arrays = [part.astype(np.float32) for part in (logits, present, known)]
    names = [f"finding {n}" for n in range(logits.shape[1])]
    return Outputs(*arrays, sources or [OURS] * len(logits), names, USUAL)


def counts(positives: list[int], known: int, source: str = OURS) -> LabelCounts:
    return LabelCounts(
        source, known, 0.5, np.array(positives), np.full(len(positives), known, np.int64)
    )


def drawn(
    images: int, scale: float, offsets: list[float], seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Logits, and findings that are present with probability sigmoid(scale * logit + offset)."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, (images, len(offsets)))
    chance = expit(scale * logits + offsets)
    return logits, generator.random(chance.shape) < chance


# ---- Probabilities ------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "offsets"), [(1, [0, 0]), (0.7, [-1.2, 0.4]), (2.5, [1, -2])])
def test_one_slope_and_each_findings_offset_are_recovered(
    scale: float, offsets: list[float]
) -> None:
    logits, present = drawn(40_000, scale, offsets)
    found, _ = calibrate(outputs(logits, present), counts(list(present.sum(axis=0)), 40_000))
    # the standard errors at 40,000 images are below 0.02 (scale) and 0.03 (offset)
    assert [one.scale for one in found] == [found[0].scale] * 2
    assert found[0].scale == pytest.approx(scale, abs=0.08)
    assert [one.offset for one in found] == pytest.approx(offsets, abs=0.12)


@given(
    seed=st.integers(0, 1000),
    positives=st.lists(st.integers(1, 199), min_size=3, max_size=3),
    scale=st.sampled_from([-1.0, 0.0, 0.5, 40.0]),
)
def test_the_mean_probability_of_a_finding_is_its_base_rate_whatever_the_network_knows(
    seed: int, positives: list[int], scale: float
) -> None:
    logits, present = drawn(60, scale, [-0.5, 0, 1], seed)
    found, _ = calibrate(outputs(logits, present), counts(positives, 200))
    for column, one in enumerate(found):
        assert SLOPES[0] <= one.scale <= SLOPES[1]  # so a higher logit is more probable
        assert one.base_rate == positives[column] / 200
        mean = expit(one.scale * logits[:, column].astype(np.float32) + one.offset).mean()
        assert mean == pytest.approx(one.base_rate, abs=1e-4)


def test_a_network_that_knows_nothing_says_the_base_rate_of_every_image() -> None:
    # the higher the logit, the rarer the finding
    logits = np.linspace(-1, 1, 40)[:, None]
    [found], _ = calibrate(outputs(logits, logits < 0), counts([20], 40))
    said = expit(found.scale * logits + found.offset)
    assert np.abs(said - 0.5).max() < 0.02  # by the lowest slope: sigmoid(0.05) is 0.512


def test_perfectly_parted_images_do_not_make_certainty() -> None:
    # Platt's targets for 6 and 6 images are 7/8 and 1/8, so no probability runs to 0 or 1
    logits = np.concatenate([np.linspace(-2, -1, 6), np.linspace(1, 2, 6)])[:, None]
    [found], _ = calibrate(outputs(logits, logits > 0), counts([6], 12))
    assert 0.5 < found.scale < 3
    assert expit(found.scale * 2 + found.offset) < 0.99


# ---- Population ---------------------------------------------------------------------------------


def test_images_of_another_population_change_nothing() -> None:
    adults = drawn(80, 1, [0, -1], 1)
    children = drawn(300, 3, [4, 2], 2)
    sources = [OURS] * 80 + ["children"] * 300
    counted = counts([30, 20], 80)
    both = outputs(*map(np.concatenate, zip(adults, children, strict=True)), sources=sources)
    assert calibrate(both, counted) == calibrate(outputs(*adults), counted)


def test_the_population_is_named_with_its_size() -> None:
    logits, present = drawn(80, 1, [0])
    _, found = calibrate(outputs(logits, present), counts([150], 400))
    assert found == Population(OURS, images=80, labelled=400, ill=0.5)


def test_labels_count_of_the_best_labelled_validation_set_with_its_training_images() -> None:
    def image(source: str, **labels: int) -> DatasetImage:
        return DatasetImage(source=source, file="x.png", path=Path("x.png"), labels=labels)

    validation = [
        image("adults", Mass=1, Edema=0),
        image("adults", Mass=0, Edema=0),
        *[image("children", Edema=1)] * 3,
    ]
    training = [image("adults", Mass=-1), image("adults", Edema=0), *[image("others", Mass=1)] * 9]
    found = count_labels(validation, training, ["Edema", "Mass"])
    assert (found.source, found.images, found.ill) == ("adults", 4, 0.5)
    np.testing.assert_array_equal(found.positives, [0, 2])  # an uncertain one counts as present
    np.testing.assert_array_equal(found.known, [3, 3])
    np.testing.assert_array_equal(found.base_rates, [np.nan, 2 / 3])


# ---- Calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [0, FEWEST - 1])
@pytest.mark.parametrize("side", [True, False])
def test_a_finding_with_too_few_validation_images_of_a_kind_is_never_called(
    few: int, side: bool
) -> None:
    logits, present = drawn(40, 1, [0, 0])
    present[:, 1] = (np.arange(40) < few) == side
    found, _ = calibrate(outputs(logits, present), counts([100, 100], 400))
    assert found[0].threshold is not None
    assert found[1].threshold is None
    assert found[1].base_rate == 0.25  # other images showed it
    assert (found[1].positives, found[1].val_positives) == (100, int(present[:, 1].sum()))


def test_images_of_which_a_finding_is_unknown_count_for_nothing() -> None:
    logits, present = drawn(80, 1, [0, 0])
    known = np.ones_like(present)
    known[40:, 1] = False
    logits[40:, 1], present[40:, 1] = 50, True
    counted = counts([30, 30], 80)
    half = calibrate(outputs(logits, present, known), counted)[0][1]
    mean = expit(half.scale * logits[:40, 1].astype(np.float32) + half.offset).mean()
    assert mean == pytest.approx(30 / 80, abs=1e-4)
    assert half.val_positives == present[:40, 1].sum()


@pytest.mark.parametrize("positives", [0, 80])
def test_a_finding_without_base_rate_keeps_the_raw_sigmoid_and_is_never_called(
    positives: int,
) -> None:
    logits, present = drawn(80, 2, [0, 0])
    found = calibrate(outputs(logits, present), counts([30, positives], 80))[0][1]
    val_positives = int(present[:, 1].sum())
    assert found == Calibration(1, 0, None, None, positives, val_positives)


def test_where_nothing_is_known_of_any_finding_all_keep_the_raw_sigmoid() -> None:
    logits, present = drawn(10, 1, [0])
    nothing = np.zeros_like(present)
    [found], _ = calibrate(outputs(logits, present, nothing), counts([0], 0))
    assert found == Calibration(1, 0, None, None, 0, 0)


def test_the_threshold_has_the_largest_f_measure_of_all_calls_together() -> None:
    # calls and true ones by threshold: 0.3: 4, 3; 0.5: 3, 3; 0.7: 1, 1; F is 0.789, 1 and 0.714
    probability = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.6]])
    present = np.array([[True, False], [True, False], [False, True]])
    known = np.ones_like(present)
    assert choose_threshold(probability, present, known, 0.0) == 0.45  # the lowest of the best
    assert choose_threshold(probability, present, known, 0.65) == 0.65
    assert choose_threshold(probability, present, known, 0.96) is None


def test_recall_counts_less_than_precision() -> None:
    # at 0.5 both calls are true and half is found: 0.833; at 0.2 all, with half of calls: 0.556
    probability = np.array([[0.5], [0.5], [0.2], [0.2], [0.2], [0.2], [0.2], [0.2]])
    present = np.array([True, True, True, True, False, False, False, False])[:, None]
    assert choose_threshold(probability, present, np.ones_like(present), 0.0) == 0.25


@given(seed=st.integers(0, 1000))
def test_one_threshold_for_all_findings_lies_above_every_base_rate(seed: int) -> None:
    logits, present = drawn(120, 1, [-2, 0, 1], seed)
    found, _ = calibrate(outputs(logits, present), counts(list(present.sum(axis=0)), 120))
    called = {one.threshold for one in found if one.threshold is not None}
    assert len(called) == 1
    assert all(one.base_rate <= min(called) for one in found if one.threshold is not None)


@given(seed=st.integers(0, 1000))
def test_no_called_finding_looks_less_likely_than_one_that_is_less_likely_than_usual(
    seed: int,
) -> None:
    # the page shows these in bold and in grey: neither percentage nor lift may say otherwise
    logits, present = drawn(120, 1, [-2, 0, 1], seed)
    found, _ = calibrate(outputs(logits, present), counts(list(present.sum(axis=0)), 120))
    card = Card(("Edema", "Mass", "Nodule"), calibration=found)
    checkpoint = Checkpoint(card, {}, "")
    said = checkpoint.probabilities(logits.astype(np.float32))
    lifts = checkpoint.lifts(said)
    called, grey = said >= checkpoint.thresholds, lifts < 1
    assert called.any()
    assert grey.any()
    for values in (said, lifts):
        lowest = np.where(called, values, np.inf).min(axis=1)
        highest = np.where(grey, values, -np.inf).max(axis=1)
        assert (lowest >= highest).all()
