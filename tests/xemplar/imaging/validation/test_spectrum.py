"""`spectrum`: frequency bands per direction, invariant to exposure, contrast and inversion."""

import numpy as np
import pytest

from xemplar.imaging.validation.spectrum import BANDS, SIDE, spectrum
from xemplar.phantom import phantom

IMAGE = phantom(3, size=256).pixels


def test_the_spectrum_is_invariant_to_exposure_inversion_and_half_a_turn() -> None:
    expected = spectrum(IMAGE)
    assert len(expected) <= 2 * BANDS
    pale = (IMAGE // 2 + 60).astype(np.uint8)
    for same in (255 - IMAGE, np.ascontiguousarray(IMAGE[::-1, ::-1]), pale):
        assert spectrum(same) == pytest.approx(expected, abs=0.3)


def test_stripes_have_their_power_at_their_frequency_and_in_their_direction() -> None:
    across = np.tile(127 + 100 * np.sin(np.arange(SIDE) * 2 * np.pi * 16 / SIDE), (SIDE, 1))
    stripes = np.round(across).astype(np.uint8)
    assert spectrum(stripes).argmax() % 2 != spectrum(stripes.T.copy()).argmax() % 2
    assert spectrum(stripes).argmax() // 2 == spectrum(stripes.T.copy()).argmax() // 2


def test_a_black_picture_has_a_spectrum() -> None:
    assert np.isfinite(spectrum(np.zeros((64, 64), np.uint8))).all()
