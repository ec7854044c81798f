"""DICOM: from stored values to displayed grey."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.films import dicom, written
from tests.xemplar.imaging.samples import DEEP, FILM, RAMP, WINDOW, correlation, lookup
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def test_plain_8_bit_dicom_keeps_its_grey_values() -> None:
    film = decode(dicom(FILM))
    np.testing.assert_array_equal(film.pixels, FILM)
    assert (film.format, film.photometric, film.source_size) == ("DICOM", "MONOCHROME2", (96, 80))


def test_signed_8_bit_values_are_stretched_over_their_whole_range() -> None:
    # -128 is black and 127 is white
    film = decode(dicom((FILM.astype(np.int16) - 128).astype(np.int8)))
    np.testing.assert_array_equal(film.pixels, FILM)


def test_6_bits_stored_are_stretched_over_their_whole_range() -> None:
    # 63 is white: 255 * v / 63, rounded
    film = decode(dicom(FILM // 4, BitsStored=6))
    np.testing.assert_array_equal(film.pixels, np.round(255 / 63 * (FILM // 4)))


def test_an_8_bit_rescale_does_not_change_the_displayed_grey() -> None:
    film = decode(dicom(FILM, RescaleSlope="10", RescaleIntercept="-1000"))
    np.testing.assert_array_equal(film.pixels, FILM)


def test_a_negative_slope_turns_an_8_bit_film() -> None:
    film = decode(dicom(FILM, RescaleSlope="-1", RescaleIntercept="255"))
    np.testing.assert_array_equal(film.pixels, 255 - FILM)


def test_monochrome1_is_turned() -> None:
    film = decode(dicom(FILM, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(film.pixels, 255 - FILM)
    assert film.photometric == "MONOCHROME1"


def test_a_linear_window_follows_the_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1, y from 0 to 255:
    # x <= c - 0.5 - (w - 1) / 2 -> 0; x > c - 0.5 + (w - 1) / 2 -> 255;
    # else ((x - (c - 0.5)) / (w - 1) + 0.5) * 255. By hand: x = 2500 gives 63.8...
    film = decode(dicom(RAMP, **WINDOW)).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(film, np.clip(((x - 2999.5) / 1999 + 0.5) * 255, 0, 255), atol=0.51)
    assert film.flat[2500] == round(((2500 - 2999.5) / 1999 + 0.5) * 255) == 64


def test_a_linear_exact_window_takes_its_centre_as_it_is() -> None:
    film = decode(dicom(RAMP, **WINDOW, VOILUTFunction="LINEAR_EXACT")).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(film, np.clip(((x - 3000) / 2000 + 0.5) * 255, 0, 255), atol=0.51)


def test_a_sigmoid_window_follows_the_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.3.1: 255 / (1 + exp(-4 (x - c) / w)); the centre is mid grey
    film = decode(dicom(RAMP, **WINDOW, VOILUTFunction="SIGMOID")).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(film, 255 / (1 + np.exp(-4 * (x - 3000) / 2000)), atol=0.51)


def test_a_narrow_sigmoid_window_does_not_overflow() -> None:
    # 30 and 31 of 40 steps are far from the centre, in units of the width
    steps = RAMP // 192  # 0 .. 39
    window = {"WindowCenter": "20", "WindowWidth": "0.5", "VOILUTFunction": "SIGMOID"}
    film = decode(dicom(steps, **window))
    assert np.isfinite(film.pixels).all()
    assert "leaves no picture" in film.warnings[0]


def test_a_window_looks_at_rescaled_values() -> None:
    # stored 3840 is 6680 after rescaling: the centre
    film = decode(
        dicom(
            RAMP,
            RescaleSlope="2",
            RescaleIntercept="-1000",
            WindowCenter="6680.5",
            WindowWidth="4801",
        )
    ).pixels
    assert film.flat[3840] == 128
    assert film.flat[2640 - 10] == 0
    assert film.flat[5040 + 10] == 255


def test_a_negative_slope_turns_the_film() -> None:
    film = decode(
        dicom(
            RAMP,
            RescaleSlope="-1",
            RescaleIntercept="7679",
            WindowCenter="3840",
            WindowWidth="7680",
        )
    ).pixels
    assert film.flat[0] > 250
    assert film.flat[-1] < 5


@pytest.mark.parametrize(("vr", "form"), [("FL", "<f4"), ("FD", "<f8"), ("SL", "<i4"), ("LO", "")])
def test_a_window_counts_whatever_vr_it_is_written_with(vr: str, form: str) -> None:
    header = dcmread(io.BytesIO(dicom(RAMP, BitsStored=13)))
    for keyword, value in WINDOW.items():
        written_as = np.array(float(value), form).tobytes() if form else value.encode()
        header[keyword] = RawDataElement(
            Tag(keyword), vr, len(written_as), written_as, 0, False, True
        )
    film = decode(written(header))
    assert film.warnings == ()
    np.testing.assert_array_equal(film.pixels, decode(dicom(RAMP, BitsStored=13, **WINDOW)).pixels)


def test_a_rescaling_beyond_all_numbers_is_ignored_with_a_warning() -> None:
    window = {"WindowCenter": "1e300", "WindowWidth": "4e303"}
    rescaling = {"RescaleSlope": "1e300", "RescaleIntercept": "1e300"}
    film = decode(dicom(RAMP, BitsStored=13, **rescaling, **window))
    assert "rescaling (slope 1e+300, intercept 1e+300) is unusable" in film.warnings[0]
    assert correlation(film.pixels, RAMP) > 0.99


def test_the_first_of_several_windows_counts() -> None:
    several = dicom(RAMP, WindowCenter=["3000", "100"], WindowWidth=["2000", "50"])
    np.testing.assert_array_equal(decode(several).pixels, decode(dicom(RAMP, **WINDOW)).pixels)


def test_a_window_without_a_centre_is_left_aside() -> None:
    np.testing.assert_array_equal(
        decode(dicom(RAMP, WindowWidth="2000")).pixels, decode(dicom(RAMP)).pixels
    )


def test_a_modality_lut_is_looked_up_before_the_window() -> None:
    # the table turns the stored values around: the smallest become the largest
    table = np.arange(7680)[::-1]
    film = decode(
        dicom(
            RAMP,
            ModalityLUTSequence=[lookup(table, 0, 16)],
            WindowCenter="3840",
            WindowWidth="7680",
        )
    ).pixels
    assert film.flat[0] == 255
    assert film.flat[-1] == 0


def test_a_deep_film_without_a_window_is_stretched_between_its_percentiles() -> None:
    film = decode(dicom(DEEP)).pixels
    low, high = np.percentile(DEEP[::4, ::4], (0.5, 99.5))
    np.testing.assert_allclose(film, np.clip((DEEP - low) / (high - low) * 255, 0, 255), atol=0.51)


def test_signed_deep_values_keep_their_order() -> None:
    film = decode(dicom((FILM.astype(np.int16) - 128) * 16)).pixels
    assert correlation(film, FILM) > 0.999


# ---- A header that leaves no picture ------------------------------------------------------------

TWELVE = FILM.astype(np.uint16) * 16  # 12 bits, 320 to 3760
OWN = decode(dicom(TWELVE, BitsStored=12)).pixels


@pytest.mark.parametrize(
    "fields",
    [
        {"WindowCenter": "-600", "WindowWidth": "1600"},  # of the lung in CT
        {"WindowCenter": "40", "WindowWidth": "400"},
        {"WindowCenter": "0.5", "WindowWidth": "1"},
        {"WindowCenter": "128", "WindowWidth": "256"},  # of 8 bits
        {"WindowCenter": "32768", "WindowWidth": "65536"},  # of 16 bits
        {"WindowCenter": "2000", "WindowWidth": "1"},
        {"WindowCenter": "2000", "WindowWidth": "2", "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": "0", "WindowWidth": "0"},
        {"WindowCenter": "2000", "WindowWidth": "-5"},
        {"WindowCenter": "2048", "WindowWidth": "4096", "VOILUTFunction": "MYSTERY"},
        {"WindowCenter": "0.2", "WindowWidth": "0.4", "RescaleSlope": "0.0001",
         "RescaleIntercept": "0"},
        {"WindowCenter": ["-600", "40"], "WindowWidth": ["1600", "400"]},
        {"RescaleSlope": "0", "RescaleIntercept": "0"},
        {"RescaleSlope": "1E-30", "RescaleIntercept": "7"},
        {"RescaleSlope": "1", "RescaleIntercept": "1E30"},
    ],
)  # fmt: skip
def test_a_header_that_leaves_no_picture_is_ignored_with_a_warning(fields: dict[str, Any]) -> None:
    film = decode(dicom(TWELVE, BitsStored=12, **fields))
    np.testing.assert_allclose(film.pixels.astype(int), OWN.astype(int), atol=1)
    assert "ignored" in film.warnings[0]


@settings(max_examples=60)
@given(
    centre=st.floats(-1e5, 1e5),
    width=st.floats(-10, 1e5),
    intercept=st.sampled_from([-1024.0, 0.0, 30_000.0]),
)
def test_no_window_leaves_the_film_unseen(centre: float, width: float, intercept: float) -> None:
    fields = {"WindowCenter": f"{centre:.8g}", "WindowWidth": f"{width:.8g}"}
    data = dicom(TWELVE, **fields, RescaleSlope="1", RescaleIntercept=str(intercept))
    film = decode(data).pixels[24:72, 20:60]
    assert np.ptp(film.astype(int)) > 70
    assert ((film == 0) | (film == 255)).mean() <= 0.55


def test_a_monochrome1_film_with_an_unusable_window_is_turned_all_the_same() -> None:
    film = decode(
        dicom(
            4095 - TWELVE,
            BitsStored=12,
            WindowCenter="-600",
            WindowWidth="1600",
            PhotometricInterpretation="MONOCHROME1",
        )
    )
    np.testing.assert_allclose(film.pixels.astype(int), OWN.astype(int), atol=1)


def test_the_first_window_that_leaves_a_picture_counts() -> None:
    both = decode(dicom(RAMP, WindowCenter=["-600", "3000"], WindowWidth=["1600", "2000"]))
    np.testing.assert_array_equal(both.pixels, decode(dicom(RAMP, **WINDOW)).pixels)
    assert len(both.warnings) == 1
    assert "window (centre -600, width 1600)" in both.warnings[0]


def test_a_binary_image_is_shown_through_its_window() -> None:
    # nothing is lost where there is nothing between black and white
    pixels = np.where(FILM > 128, 4000, 100).astype(np.uint16)
    film = decode(dicom(pixels, WindowCenter="2000", WindowWidth="10"))
    np.testing.assert_array_equal(film.pixels, np.where(FILM > 128, 255, 0))
    assert film.warnings == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"WindowCenter": "", "WindowWidth": ""},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"VOILUTSequence": []},
        {"VOILUTSequence": [Dataset()]},
        {"ModalityLUTSequence": [Dataset()]},
        {"PixelPaddingValue": None, "VOILUTFunction": ""},
    ],
)
def test_what_is_present_but_empty_counts_as_absent(fields: dict[str, Any]) -> None:
    header = dcmread(io.BytesIO(dicom(TWELVE, BitsStored=12)))
    for keyword, value in fields.items():
        header.add_new(keyword, "US" if value is None else dictionary_VR(keyword), value)
    film = decode(written(header))
    np.testing.assert_array_equal(film.pixels, OWN)
    assert film.warnings == ()


def test_the_modality_lut_of_fluoroscopy_is_not_for_display() -> None:
    # PS3.3 C.8.7.1.1.2: it turns grey into X-ray intensity
    table = lookup(np.arange(4096)[::-1], 0, 12)
    fluoroscopy = {"Modality": "RF", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2"}
    film = decode(dicom(TWELVE, BitsStored=12, ModalityLUTSequence=[table], **fluoroscopy))
    np.testing.assert_array_equal(film.pixels, OWN)


def test_a_modality_lut_that_leaves_one_value_is_ignored_with_a_warning() -> None:
    table = lookup(np.full(4096, 7), 0, 16)
    film = decode(dicom(TWELVE, BitsStored=12, ModalityLUTSequence=[table]))
    np.testing.assert_array_equal(film.pixels, OWN)
    assert "modality LUT is unusable" in film.warnings[0]
