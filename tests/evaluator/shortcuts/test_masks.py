"""What each mask leaves to see, and that no forward pass is made twice."""

from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.shortcuts import masks as module
from xemplar_evaluator.shortcuts.masks import (
    BORDER,
    CORNERS,
    NO_BORDER,
    NO_CORNERS,
    covered,
    masked_logits,
    masks,
)


def test_corners_are_squares_of_45_and_the_border_is_22_of_224_pixels() -> None:
    shown = masks(224)
    assert shown[CORNERS].sum() == 4 * 45 * 45
    assert shown[CORNERS][:45, :45].all()
    assert shown[CORNERS][-45:, :45].all()
    assert not shown[CORNERS][45:-45].any()
    assert shown[NO_BORDER].sum() == (224 - 2 * 22) ** 2
    assert shown[NO_BORDER][22:-22, 22:-22].all()


@pytest.mark.parametrize("size", [32, 64, 224, 320])
def test_masks_are_the_same_from_all_sides_and_each_part_has_its_rest(size: int) -> None:
    shown = masks(size)
    for mask in shown.values():
        assert (mask == mask[::-1]).all()
        assert (mask == mask.T).all()
        assert 0 < mask.sum() < size * size
    assert (shown[NO_CORNERS] == ~shown[CORNERS]).all()
    assert (shown[NO_BORDER] == ~shown[BORDER]).all()


def test_what_a_mask_leaves_out_is_black_and_the_rest_is_untouched() -> None:
    image = np.full((64, 64), 7, np.uint8)
    mask = masks(64)[CORNERS]
    seen = covered(image, mask)
    assert (seen[mask] == 7).all()
    assert not seen[~mask].any()


def test_the_logits_are_those_of_the_masked_image(data: EvaluationData, tmp_path: Path) -> None:
    inputs, encoder = data.queries.inputs[:6], data.encoder
    found = masked_logits(inputs, encoder, tmp_path, lambda _: None)
    for name, mask in masks(64).items():
        alone = encoder.encode(covered(inputs[5], mask)[None]).logits[0]
        assert np.allclose(found[name][5], alone, atol=1e-4)
        assert found[name].shape == (6, 14)


def test_what_is_finished_is_not_done_again(
    data: EvaluationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD", 5)
    inputs, asked, done = data.queries.inputs, [], []

    class Counting:
        def encode(self, batch):
            asked.append(len(batch))
            return data.encoder.encode(batch)

    whole = masked_logits(inputs, Counting(), tmp_path, lambda _: None)  # type: ignore[arg-type]
    assert sum(asked) == 4 * len(inputs)
    (tmp_path / "masked-000005.npy").unlink()  # as if killed between the first shard and the last
    asked.clear()
    again = masked_logits(inputs, Counting(), tmp_path, done.append)  # type: ignore[arg-type]
    assert sum(asked) == 4 * 5
    assert done == sorted(done)
    assert done[-1] == len(inputs)
    for name in whole:
        assert np.array_equal(whole[name], again[name])
