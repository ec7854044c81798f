"""Quantus, called with what it wants: each figure against one that is worked out by hand."""

from dataclasses import replace
from math import log

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from xemplar_evaluator.faithfulness.quantus_metrics import (
    BEFORE,
    COMPLEXITY,
    FLIPPING,
    LIPSCHITZ,
    MASS,
    NOISE,
    judge,
    measure,
)
from xemplar_evaluator.faithfulness.quantus_network import (
    Probabilities,
    by_own_maximum,
    cams_of,
    random_maps,
)
from xemplar_evaluator.faithfulness.samples import ExplanationSample
from xemplar_evaluator.settings import EvaluationSettings

from tests.evaluator.faithfulness.made import SMALL, drawn
from xemplar.errors import InvalidArgument
from xemplar.imaging.preprocess import onto_image
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.encoder import Runtime, open_encoder
from xemplar.model.explain import grad_cam

Maps = npt.NDArray[np.float32]
ROWS = np.float32([[1.0] * 4, [0.5] * 4, [0.25] * 4, [0.0] * 4])[None, None]
"""One image of 4 x 4 pixels, each row darker than the one above it."""

DOWN = np.float32([[4] * 4, [3] * 4, [2] * 4, [1] * 4])[None, None]
"""A map whose first row matters most, then the second, ..."""


class Brightness(nn.Module):
    """A linear model: images (N, 1, s, s) -> their mean grey value, (N, 1)."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def judged(
    images: Maps, maps: Maps, masks: list[npt.NDArray[np.bool_] | None], **settings: int
) -> dict[str, npt.NDArray[np.float64]]:
    """The four metrics of fixed maps, which noise does not move."""
    samples = [ExplanationSample(row, 0, mask) for row, mask in enumerate(masks)]
    options = replace(EvaluationSettings(lipschitz_samples=2, flipping_steps=4), **settings)

    def explain(model: nn.Module, inputs: Maps, targets: object) -> Maps:
        assert inputs.shape == images.shape
        return maps.copy()

    model = Brightness().eval()
    return dict(judge(model, explain, images, samples, options, np.random.default_rng(0)))


def test_pixel_flipping_of_a_linear_model() -> None:
    # Mean grey value after blackening rows 1, 1-2, 1-3, 1-4 (4 of 16 pixels in a step):
    # (2 + 1) / 16 = 0.1875, 1 / 16 = 0.0625, 0, 0.
    # Trapezoids: 0.125 + 0.03125 + 0 = 0.15625, over a width of 3 steps.
    scores = judged(ROWS, DOWN, [None])
    assert scores[FLIPPING] == pytest.approx([0.15625 / 3])


def test_pixel_flipping_is_higher_where_the_map_points_at_nothing_and_does_not_warn() -> None:
    # From below, the first row to be blackened is black already: 7/16, 6/16, 4/16, 0.
    # Trapezoids: (6.5 + 5 + 2) / 16, over a width of 3 steps.
    scores = judged(ROWS, 5 - DOWN, [None])
    assert scores[FLIPPING] == pytest.approx([13.5 / 16 / 3])


@pytest.mark.parametrize("steps", [3, 32])
def test_steps_that_do_not_divide_the_image_are_refused(steps: int) -> None:
    with pytest.raises(InvalidArgument, match=f"flipping_steps is {steps}, but 16 pixels"):
        judged(ROWS, DOWN, [None], flipping_steps=steps)


def test_relevance_mass_accuracy_is_the_share_of_the_map_in_the_mask() -> None:
    # four places of equal weight, one of them in the mask: 1 / 4
    corner = np.zeros((1, 1, 4, 4), np.float32)
    corner[..., :2, :2] = 3
    mask = np.zeros((4, 4), bool)
    mask[1, 1:] = True
    scores = judged(np.tile(ROWS, (2, 1, 1, 1)), np.tile(corner, (2, 1, 1, 1)), [mask, None])
    assert scores[MASS][0] == pytest.approx(0.25)
    assert np.isnan(scores[MASS][1])


def test_complexity_is_the_entropy_of_the_map() -> None:
    # a uniform map has the largest entropy, ln 16; one on a single pixel has none; on two, ln 2
    maps = np.zeros((3, 1, 4, 4), np.float32)
    maps[0], maps[1, 0, 2, 3], maps[2, 0, 0, :2] = 7, 5, 0.1
    scores = judged(np.tile(ROWS, (3, 1, 1, 1)), maps, [None] * 3)
    assert scores[COMPLEXITY] == pytest.approx([log(16), 0, log(2)], abs=1e-6)


def test_a_map_that_noise_does_not_move_has_a_lipschitz_estimate_of_0() -> None:
    assert judged(ROWS, DOWN, [None])[LIPSCHITZ] == pytest.approx([0])


def test_a_map_that_vanishes_under_noise_has_moved_by_all_its_length() -> None:
    # Scaled to a maximum of 1, four places of 1 have the length 2; the image moved by the noise.
    corner = np.zeros((1, 1, 4, 4), np.float32)
    corner[..., :2, :2] = 3

    def explain(model: nn.Module, inputs: Maps, targets: object) -> Maps:
        return corner if np.array_equal(inputs, ROWS) else np.full_like(corner, np.nan)

    settings = EvaluationSettings(lipschitz_samples=1, flipping_steps=4)
    random = np.random.default_rng(5)
    scores = judge(Brightness().eval(), explain, ROWS, [ExplanationSample(0, 0)], settings, random)
    noise = np.random.default_rng(5).normal(0, NOISE, 16)
    assert scores[LIPSCHITZ] == pytest.approx([2 / np.linalg.norm(noise)], rel=1e-5)


def test_each_map_is_scaled_by_its_own_maximum_and_blank_ones_are_0() -> None:
    maps = np.stack([DOWN[0], 10 * DOWN[0], np.full_like(DOWN[0], np.nan)])
    np.testing.assert_allclose(
        by_own_maximum(maps), np.stack([DOWN[0] / 4, DOWN[0] / 4, 0 * DOWN[0]])
    )


# ---- The real network ---------------------------------------------------------------------------


def test_quantus_sees_the_probabilities_and_the_grad_cam_of_the_network(tiny: Checkpoint) -> None:
    inputs, targets = drawn(3, 64), np.array([0, 5, 9])
    encoder = open_encoder(tiny, Runtime.PYTORCH)
    encoded = encoder.encode(inputs)
    images = inputs[:, None].astype(np.float32) / 255
    model = Probabilities(tiny)
    with torch.no_grad():
        seen = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(seen, 1 / (1 + np.exp(-encoded.logits)), rtol=1e-4)
    cams = grad_cam(encoded.maps, tiny.weights["classifier.weight"])[np.arange(3), targets]
    for cam, large in zip(cams, cams_of(model, images, targets), strict=True):
        wanted = onto_image(cam, tiny.card.spec, 64, 64)
        wanted = wanted if cam.max() > 0 else np.full_like(wanted, np.nan)
        np.testing.assert_allclose(large, wanted[None], rtol=1e-3, atol=1e-5)


def test_a_map_of_chance_is_noise_in_the_cells_of_grad_cam(tiny: Checkpoint) -> None:
    model, images = Probabilities(tiny), np.zeros((200, 1, 64, 64), np.float32)
    maps = random_maps(model, images, np.random.default_rng(0))
    assert maps.shape == (200, 1, 64, 64)
    assert maps.mean() == pytest.approx(0.5, abs=0.03)
    # beyond the centre of a corner's cell its value holds: one cell is 32 pixels
    assert (maps[:, 0, :16, :16] == maps[:, 0, :1, :1]).all()
    assert not np.array_equal(maps[0], maps[1])


def test_only_a_mask_of_the_whole_image_holds_the_whole_map(tiny: Checkpoint) -> None:
    samples = [ExplanationSample(row, row, np.ones((64, 64), bool)) for row in range(6)]
    found = measure(tiny, drawn(6, 64), samples, SMALL, lambda _: None)
    count = len(found.samples)
    assert 0 < count <= SMALL.quantus_samples
    assert found.grad_cam[MASS] == pytest.approx([1] * count)
    assert found.random[MASS] == pytest.approx([1] * count)
    # the map of chance is drawn once for each image, so noise does not move it
    assert not found.random[LIPSCHITZ].any()
    assert (found.grad_cam[LIPSCHITZ] > 0).all()


def test_pixel_flipping_begins_with_the_probability_of_the_image_as_it_is(tiny: Checkpoint) -> None:
    samples = [ExplanationSample(row, row) for row in range(4)]
    found = measure(tiny, drawn(4, 64), samples, SMALL, lambda _: None)
    logits = open_encoder(tiny, Runtime.PYTORCH).encode(drawn(4, 64)).logits
    wanted = [1 / (1 + np.exp(-logits[s.row, s.finding])) for s in found.samples]
    assert found.grad_cam[BEFORE] == pytest.approx(wanted, rel=1e-4)
    np.testing.assert_array_equal(found.grad_cam[BEFORE], found.random[BEFORE])


def test_a_seed_gives_the_same_figures_again(tiny: Checkpoint) -> None:
    inputs, samples = drawn(5, 64), [ExplanationSample(row, row) for row in range(5)]
    one, other = (measure(tiny, inputs, samples, SMALL, lambda _: None) for _ in range(2))
    for name in (LIPSCHITZ, FLIPPING, COMPLEXITY):
        np.testing.assert_array_equal(one.grad_cam[name], other.grad_cam[name])
        np.testing.assert_array_equal(one.random[name], other.random[name])


def test_blank_maps_are_left_out_counted_and_made_up_for(tiny: Checkpoint) -> None:
    # nothing speaks for the first finding: its map is 0 everywhere on every image
    weights = dict(tiny.weights)
    weights["classifier.weight"] = np.abs(weights["classifier.weight"])
    weights["classifier.weight"][0] *= -1
    checkpoint = replace(tiny, weights=weights)
    samples = [ExplanationSample(row, row % 2) for row in range(8)]
    done: list[float] = []
    settings = replace(SMALL, quantus_samples=3)
    found = measure(checkpoint, drawn(8, 64), samples, settings, done.append)
    assert [sample.row for sample in found.samples] == [1, 3, 5]
    assert found.blank == 4
    assert done[-1] == 1
    none = measure(checkpoint, drawn(8, 64), samples[::2], settings, lambda _: None)
    assert (len(none.samples), none.blank, len(none.grad_cam[FLIPPING])) == (0, 4, 0)
