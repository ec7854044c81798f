"""Deletion and insertion by hand, on an encoder whose embedding is the brightness of its cells."""

import sys

import numpy as np
import numpy.typing as npt
import pytest
from xemplar_evaluator.data import Candidates
from xemplar_evaluator.faithfulness import masking
from xemplar_evaluator.faithfulness.masking import (
    EVIDENCE,
    PERTURBATION,
    RANDOM,
    MaskingCurves,
    cell_counts,
    cosines,
    curves_of,
    nearest_pairs,
    replaced,
)
from xemplar_evaluator.faithfulness.perturbation import Embed, xaitk

from tests.evaluator.faithfulness.made import made_case, made_images
from xemplar.errors import ConfigurationError
from xemplar.model.densenet import EmbeddingHead, Features, features

Inputs = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float32]


class Brightness:
    """A toy encoder: 2 x 2 cells, and one channel for the brightness of each."""

    def encode(self, inputs: Inputs) -> Features:
        side = inputs.shape[1] // 2
        cells = inputs.reshape(-1, 2, side, 2, side).mean(axis=(2, 4)).reshape(-1, 4)
        maps = (cells[:, :, None] * np.eye(4)).reshape(-1, 4, 2, 2).astype(np.float32)
        black = EmbeddingHead(np.zeros((4, 2, 2), np.float32))  # a usual image
        return features(maps, np.zeros((1, 4), np.float32), np.zeros(1, np.float32), black)


def image(*cells: int, side: int = 8) -> Inputs:
    """An image of four even cells, row by row, uint8 (2 * side, 2 * side)."""
    grid = np.array(cells, np.uint8).reshape(2, 2)
    return np.kron(grid, np.ones((side, side), np.uint8))


ENCODER = Brightness()
IMAGE, BLACK, GREY = image(30, 40, 0, 0), image(0, 0, 0, 0), image(10, 10, 10, 10)
TOP_LEFT = np.float32([1, 0, 0, 0])
"""A neighbour that has only the top left cell: its cosine with the image is 3 / 5."""

COUNTS = np.arange(5)


# ---- Curves -------------------------------------------------------------------------------------


def test_cells_are_replaced_in_their_order() -> None:
    # order: bottom right, top left, ...
    order = np.array([3, 0, 1, 2])
    after = replaced(image(1, 2, 3, 4), image(9, 8, 7, 6), order, np.array([0, 1, 2, 4]))
    wanted = [image(1, 2, 3, 4), image(1, 2, 3, 6), image(9, 2, 3, 6), image(9, 8, 7, 6)]
    np.testing.assert_array_equal(after, wanted)
    assert after.dtype == np.uint8


@pytest.mark.parametrize("grid", [2, 4, 5, 7, 8, 10])
def test_a_curve_has_about_16_points_and_reads_the_same_backwards(grid: int) -> None:
    counts = cell_counts(grid * grid)
    assert len(counts) == min(16, grid * grid + 1)
    np.testing.assert_array_equal(counts, grid * grid - counts[::-1])


def test_areas_of_a_good_order_by_hand() -> None:
    # The first cell is all that counts. Without it, the cosine is 0 (and 0 for a black image):
    # 0.6, 0, 0, 0, 0 -> 0.25 * 0.3. Given back first: 0, 1 (nothing else is there yet), then 0.6
    # with its bright neighbour: 0, 1, 0.6, 0.6, 0.6 -> 0.25 * (0.5 + 0.8 + 0.6 + 0.6).
    order = np.arange(4)
    deleted = cosines(ENCODER, replaced(IMAGE, BLACK, order, COUNTS), TOP_LEFT)
    inserted = cosines(ENCODER, replaced(BLACK, IMAGE, order, COUNTS), TOP_LEFT)
    np.testing.assert_allclose(deleted, [0.6, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(inserted, [0, 1, 0.6, 0.6, 0.6], atol=1e-6)
    found = MaskingCurves((0,), (0,), COUNTS / 4, {"a": deleted[None]}, {"a": inserted[None]}, {})
    assert found.areas(found.deletion)["a"] == pytest.approx([0.075])
    assert found.areas(found.insertion)["a"] == pytest.approx([0.625])


def test_evidence_deletes_what_the_similarity_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    # a blur so strong that nothing is left
    monkeypatch.setattr(masking, "blurred", lambda image, sigma: np.zeros_like(image))

    def from_below(embed: Embed, image: Inputs, without: Inputs, neighbour: Vector) -> Vector:
        assert (without == 0).all()
        return np.float32([[0, 0], [0, 5]]).repeat(8, 0).repeat(8, 1)

    random = np.random.default_rng(0)
    deleted, inserted, seconds = curves_of(ENCODER, IMAGE, TOP_LEFT, from_below, COUNTS, random)
    np.testing.assert_allclose(deleted[EVIDENCE], [0.6, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(inserted[EVIDENCE], [0, 1, 0.6, 0.6, 0.6], atol=1e-6)
    # the worst order: the black cell at the bottom right first, then the others row by row
    np.testing.assert_allclose(deleted[PERTURBATION], [0.6, 0.6, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(inserted[PERTURBATION], [0, 0, 1, 0.6, 0.6], atol=1e-6)
    np.testing.assert_allclose(deleted[RANDOM], inserted[RANDOM][::-1])
    assert seconds.keys() == {EVIDENCE, PERTURBATION}
    assert min(seconds.values()) > 0


# ---- XAITK --------------------------------------------------------------------------------------


def test_xaitk_colours_the_cell_that_the_similarity_depends_on() -> None:
    heat = xaitk(16, 2, masks=64, seed=0)(
        lambda inputs: ENCODER.encode(inputs).embedding, image(30, 40, 20, 10), GREY, TOP_LEFT
    )
    assert heat.shape == (16, 16)
    cells = heat.reshape(2, 8, 2, 8).mean(axis=(1, 3))
    assert cells.argmax() == 0
    assert heat.max() == pytest.approx(1)


def test_xaitks_masks_follow_the_seed() -> None:
    def seen(seed: int) -> Inputs:
        hidden: list[Inputs] = []

        def embed(inputs: Inputs) -> Vector:
            hidden.append(inputs)
            return ENCODER.encode(inputs).embedding

        xaitk(16, 2, masks=6, seed=seed)(embed, IMAGE, GREY, TOP_LEFT)
        return max(hidden, key=len)

    assert seen(0).shape == (6, 16, 16)
    np.testing.assert_array_equal(seen(0), seen(0))
    assert not np.array_equal(seen(0), seen(1))


def test_without_xaitk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xaitk_saliency.impls.perturb_image.rise", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'xemplar\[evaluate\]'"):
        xaitk(16, 2, masks=4, seed=0)


# ---- Pairs --------------------------------------------------------------------------------------


def pairs_of(patient: str | None, *cases: tuple[str, str | None]) -> list[tuple[int, int]]:
    """Pairs of one query, of which the first case is the most similar one, the next less so."""
    queries = made_images(IMAGE[None], patients=(patient,))
    queries.embedding[:] = 1
    similar = np.linspace(1, 0.5, len(cases), dtype=np.float32)[:, None]
    made = tuple(made_case(n, case_id, of) for n, (case_id, of) in enumerate(cases))
    candidates = Candidates(made, similar, np.empty((0, 16, 16), np.uint8), np.empty((0, 2, 2)))
    return nearest_pairs(queries, candidates, 5, np.random.default_rng(0))


def test_the_nearest_case_is_of_another_patient_and_another_picture() -> None:
    own = f"{0:016x}"
    assert pairs_of("a", ("1", "b"), ("2", "c")) == [(0, 0)]
    assert pairs_of("a", ("1", "a"), (own, "b"), ("2", "c"), ("3", "d")) == [(0, 2)]
    assert pairs_of(None, (own, None), ("1", None)) == [(0, 1)]
    assert pairs_of("a", ("1", "a")) == []
