"""Scrambling loses what was learnt and nothing else; the gate closes on maps that ignore that."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from xemplar_evaluator.faithfulness.cascading_randomisation import (
    DRAWS,
    FEWEST,
    LIMIT,
    STAGES,
    CascadingRandomisation,
    between,
    cascading_randomisation,
    explain,
    failures,
    rank_correlation,
    scrambled,
)
from xemplar_evaluator.faithfulness.samples import ExplanationSample

from tests.agreement import assert_agree
from tests.evaluator.faithfulness.made import drawn
from tests.images import TINY, seeded_weights
from xemplar.data.findings import NIH14
from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import EMBEDDING, Architecture, shapes
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.model.explain import grad_cam

SIZE = 128  # a grid of 4 x 4, whose ranks say more than those of 2 x 2
INPUTS = drawn(8, SIZE)
UNITS = tuple(ExplanationSample(row, row) for row in range(8))
PATIENTS = tuple(f"patient-{row}" for row in range(8))
EVERYTHING = tuple(module for _, modules in STAGES for module in modules)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    card = Card(NIH14, PreprocessSpec(SIZE), TINY)
    return open_encoder(Checkpoint(card, seeded_weights(TINY, len(NIH14), size=SIZE), ""))


@pytest.fixture(scope="module")
def real(encoder: Encoder) -> CascadingRandomisation:
    return cascading_randomisation(encoder, INPUTS, UNITS, PATIENTS, 0, lambda _: None)


def edges(encoder: Encoder, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """An "explanation" that ignores the network: how much each cell's grey values vary."""
    cells = inputs.reshape(len(inputs), 4, SIZE // 4, 4, SIZE // 4).astype(np.float32)
    return np.repeat(cells.std(axis=(2, 4))[:, None], len(NIH14), axis=1)


# ---- Scrambling ---------------------------------------------------------------------------------


def test_every_weight_of_the_network_is_scrambled_in_one_stage() -> None:
    for name in shapes(Architecture(), findings=14, size=224).keys() - set(EMBEDDING):
        assert sum(name.startswith(f"{module}.") for module in EVERYTHING) == 1, name


def test_scrambling_keeps_the_values_of_each_tensor(encoder: Encoder) -> None:
    weights = encoder.checkpoint.weights
    changed = scrambled(weights, EVERYTHING, np.random.default_rng(0))
    assert changed.keys() == weights.keys()
    for name, value in weights.items():
        assert changed[name].shape == value.shape
        np.testing.assert_array_equal(np.sort(changed[name], axis=None), np.sort(value, axis=None))
        assert np.array_equal(changed[name], value) is (name in EMBEDDING), name


def test_scrambling_leaves_other_modules_alone(encoder: Encoder) -> None:
    weights = encoder.checkpoint.weights
    changed = scrambled(weights, ("features.denseblock1",), np.random.default_rng(0))
    for name, value in weights.items():
        same = np.array_equal(changed[name], value)
        assert same is not name.startswith("features.denseblock1."), name


def test_the_four_vectors_of_a_batch_norm_move_together(encoder: Encoder) -> None:
    weights = encoder.checkpoint.weights
    changed = scrambled(weights, ("features.norm5",), np.random.default_rng(0))
    parts = [f"features.norm5.{p}" for p in ("weight", "bias", "running_mean", "running_var")]
    before = {tuple(channel) for channel in zip(*(weights[p] for p in parts), strict=True)}
    after = {tuple(channel) for channel in zip(*(changed[p] for p in parts), strict=True)}
    assert after == before


def test_a_seed_scrambles_the_same_way_again(encoder: Encoder) -> None:
    weights = encoder.checkpoint.weights

    def conv(seed: int) -> npt.NDArray[np.float32]:
        return scrambled(weights, EVERYTHING, np.random.default_rng(seed))["features.conv0.weight"]

    np.testing.assert_array_equal(conv(1), conv(1))
    assert not np.array_equal(conv(1), conv(2))


# ---- Comparing ----------------------------------------------------------------------------------


def test_rank_correlation_by_hand() -> None:
    # ranks 1 2 3 4 and 1 2 4 3: squared differences 0 + 0 + 1 + 1; 1 - 6 * 2 / (4 * 15) = 0.8
    one, other = np.float32([[1, 2], [3, 4]]), np.float32([[0, 5], [90, 7]])
    assert rank_correlation(one, other) == pytest.approx(0.8)
    assert rank_correlation(one, 10 - one) == pytest.approx(-1)
    assert np.isnan(rank_correlation(one, np.full((2, 2), 3, np.float32)))


def test_what_is_judged_is_grad_cam_before_it_is_rectified(encoder: Encoder) -> None:
    cams = grad_cam(encoder.encode(INPUTS).maps, encoder.checkpoint.weights["classifier.weight"])
    signed = explain(encoder, INPUTS)
    assert signed.min() < 0
    assert_agree(np.maximum(signed, 0), cams, np.abs(signed).max())


def test_the_intact_map_and_one_after_each_stage_are_kept(
    encoder: Encoder, real: CascadingRandomisation
) -> None:
    assert real.maps.shape == (len(STAGES) + 1, 8, 4, 4)
    cams = np.maximum(explain(encoder, INPUTS), 0)[np.arange(8), np.arange(8)]
    np.testing.assert_allclose(real.maps[0], cams)


def test_a_map_that_was_blank_from_the_start_is_not_compared(real: CascadingRandomisation) -> None:
    blank = np.ptp(real.maps[0], axis=(1, 2)) == 0
    assert 0 < blank.sum() < 8
    np.testing.assert_array_equal(np.isnan(real.correlation[0]), blank)
    assert np.isfinite(real.signed).all()


def test_maps_that_vanish_count_as_0_and_are_counted(encoder: Encoder) -> None:
    def vanishing(other: Encoder, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return edges(other, inputs) * (other is encoder)

    found = cascading_randomisation(encoder, INPUTS, UNITS, PATIENTS, 0, lambda _: None, vanishing)
    assert (found.correlation == 0).all()
    assert (found.gone == DRAWS * len(UNITS)).all()


def test_likeness_for_free_is_of_the_same_finding_on_other_patients_images() -> None:
    # the first finding's map rises on the first two images and falls on the third; the second
    # finding's is flat
    up = np.arange(4, dtype=np.float32).reshape(2, 2)
    maps = np.stack([np.stack([one, 0 * one]) for one in (up, up, -up)])
    assert between(maps, [0, 0, 0], ("a", "b", "c")) == pytest.approx([0, 0, -1])
    # the first two are of one patient, and only compared with the third
    assert between(maps, [0, 0, 0], ("a", "a", None)) == pytest.approx([-1, -1, -1])
    assert between(maps, [1, 1, 1], ("a", "b", "c")) == pytest.approx([0, 0, 0])
    assert np.isnan(between(maps, [0, 0, 0], ("a", "a", "a"))).all()


def test_a_seed_gives_the_same_randomisation_again(
    encoder: Encoder, real: CascadingRandomisation
) -> None:
    again = cascading_randomisation(encoder, INPUTS, UNITS, PATIENTS, 0, lambda _: None)
    np.testing.assert_array_equal(again.signed, real.signed)


def test_no_images_give_an_empty_randomisation(encoder: Encoder) -> None:
    found = cascading_randomisation(encoder, INPUTS, (), PATIENTS, 0, lambda _: None)
    assert found.signed.shape == (len(STAGES), 0)
    assert failures(found) == ()


# ---- The gate -----------------------------------------------------------------------------------


def test_the_gate_closes_on_an_explanation_that_ignores_the_network(encoder: Encoder) -> None:
    done: list[float] = []
    found = cascading_randomisation(encoder, INPUTS, UNITS, PATIENTS, 0, done.append, edges)
    assert found.signed == pytest.approx(1)
    first, second = failures(found)
    assert first.startswith("Grad-CAM hardly depends on the network: with all weights scrambled")
    assert "8 images still have a mean rank correlation of 1.00" in first
    assert "before they are rectified" in second
    assert done == sorted(done)
    assert done[-1] == 1


def test_the_gate_stays_open_for_grad_cam(real: CascadingRandomisation) -> None:
    assert failures(real) == ()
    assert real.signed[-1].mean() < LIMIT


def test_blank_maps_do_not_carry_an_explanation_through_the_gate(
    real: CascadingRandomisation,
) -> None:
    blank = replace(real, correlation=np.zeros((6, 8)), signed=np.full((6, 8), 0.9))
    (failure,) = failures(blank)
    assert "before they are rectified" in failure


def test_too_few_images_close_no_gate(encoder: Encoder) -> None:
    samples = UNITS[: FEWEST - 1]
    found = cascading_randomisation(encoder, INPUTS, samples, PATIENTS, 0, lambda _: None, edges)
    assert failures(found) == ()
