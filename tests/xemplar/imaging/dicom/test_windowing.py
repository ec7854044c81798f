"""DICOM: from stored values to displayed grey."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from tests.images import dicom, written
from tests.xemplar.imaging.samples import DEEP, IMAGE, RAMP, WINDOW, correlation, lookup
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def test_plain_8_bit_dicom_keeps_its_grey_values() -> None:
    image = decode(dicom(IMAGE))
    np.testing.assert_array_equal(image.pixels, IMAGE)
    assert (image.format, image.photometric, image.source_size) == (
        "DICOM",
        "MONOCHROME2",
        (96, 80),
    )


def test_signed_8_bit_values_are_stretched_over_their_whole_range() -> None:
    # -128 is black and 127 is white
    image = decode(dicom((IMAGE.astype(np.int16) - 128).astype(np.int8)))
    np.testing.assert_array_equal(image.pixels, IMAGE)


def test_6_bits_stored_are_stretched_over_their_whole_range() -> None:
    # 63 is white: 255 * v / 63, rounded
    image = decode(dicom(IMAGE // 4, BitsStored=6))
    np.testing.assert_array_equal(image.pixels, np.round(255 / 63 * (IMAGE // 4)))


def test_an_8_bit_rescale_does_not_change_the_displayed_grey() -> None:
    image = decode(dicom(IMAGE, RescaleSlope="10", RescaleIntercept="-1000"))
    np.testing.assert_array_equal(image.pixels, IMAGE)


def test_a_negative_slope_turns_an_8_bit_image() -> None:
    image = decode(dicom(IMAGE, RescaleSlope="-1", RescaleIntercept="255"))
    np.testing.assert_array_equal(image.pixels, 255 - IMAGE)


def test_monochrome1_is_turned() -> None:
    image = decode(dicom(IMAGE, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(image.pixels, 255 - IMAGE)
    assert image.photometric == "MONOCHROME1"


def test_a_linear_window_follows_the_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.2.1, y from 0 to 255:
    # x <= c - 0.5 - (w - 1) / 2 -> 0; x > c - 0.5 + (w - 1) / 2 -> 255;
    # else ((x - (c - 0.5)) / (w - 1) + 0.5) * 255. By hand: x = 2500 gives 63.8...
    image = decode(dicom(RAMP, **WINDOW)).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(image, np.clip(((x - 2999.5) / 1999 + 0.5) * 255, 0, 255), atol=0.51)
    assert image.flat[2500] == round(((2500 - 2999.5) / 1999 + 0.5) * 255) == 64


def test_a_linear_exact_window_takes_its_centre_as_it_is() -> None:
    image = decode(dicom(RAMP, **WINDOW, VOILUTFunction="LINEAR_EXACT")).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(image, np.clip(((x - 3000) / 2000 + 0.5) * 255, 0, 255), atol=0.51)


def test_a_sigmoid_window_follows_the_formula_of_the_standard() -> None:
    # PS3.3 C.11.2.1.3.1: 255 / (1 + exp(-4 (x - c) / w)); the centre is mid grey
    image = decode(dicom(RAMP, **WINDOW, VOILUTFunction="SIGMOID")).pixels
    x = RAMP.astype(float)
    np.testing.assert_allclose(image, 255 / (1 + np.exp(-4 * (x - 3000) / 2000)), atol=0.51)


def test_a_narrow_sigmoid_window_does_not_overflow() -> None:
    # 30 and 31 of 40 steps are far from the centre, in units of the width
    steps = RAMP // 192  # 0 .. 39
    window = {"WindowCenter": "20", "WindowWidth": "0.5", "VOILUTFunction": "SIGMOID"}
    image = decode(dicom(steps, **window))
    assert np.isfinite(image.pixels).all()
    assert "leaves no picture" in image.warnings[0]


def test_a_window_looks_at_rescaled_values() -> None:
    # stored 3840 is 6680 after rescaling: the centre
    image = decode(
        dicom(
            RAMP,
            RescaleSlope="2",
            RescaleIntercept="-1000",
            WindowCenter="6680.5",
            WindowWidth="4801",
        )
    ).pixels
    assert image.flat[3840] == 128
    assert image.flat[2640 - 10] == 0
    assert image.flat[5040 + 10] == 255


def test_a_negative_slope_turns_the_image() -> None:
    image = decode(
        dicom(
            RAMP,
            RescaleSlope="-1",
            RescaleIntercept="7679",
            WindowCenter="3840",
            WindowWidth="7680",
        )
    ).pixels
    assert image.flat[0] > 250
    assert image.flat[-1] < 5


@pytest.mark.parametrize(("vr", "form"), [("FL", "<f4"), ("FD", "<f8"), ("SL", "<i4"), ("LO", "")])
def test_a_window_counts_whatever_vr_it_is_written_with(vr: str, form: str) -> None:
    header = dcmread(io.BytesIO(dicom(RAMP, BitsStored=13)))
    for keyword, value in WINDOW.items():
        written_as = np.array(float(value), form).tobytes() if form else value.encode()
        header[keyword] = RawDataElement(
            Tag(keyword), vr, len(written_as), written_as, 0, False, True
        )
    image = decode(written(header))
    assert image.warnings == ()
    np.testing.assert_array_equal(image.pixels, decode(dicom(RAMP, BitsStored=13, **WINDOW)).pixels)


def test_a_rescaling_beyond_all_numbers_is_ignored_with_a_warning() -> None:
    window = {"WindowCenter": "1e300", "WindowWidth": "4e303"}
    rescaling = {"RescaleSlope": "1e300", "RescaleIntercept": "1e300"}
    image = decode(dicom(RAMP, BitsStored=13, **rescaling, **window))
    assert "rescaling (slope 1e+300, intercept 1e+300) is unusable" in image.warnings[0]
    assert correlation(image.pixels, RAMP) > 0.99


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
    image = decode(
        dicom(
            RAMP,
            ModalityLUTSequence=[lookup(table, 0, 16)],
            WindowCenter="3840",
            WindowWidth="7680",
        )
    ).pixels
    assert image.flat[0] == 255
    assert image.flat[-1] == 0


def test_a_deep_image_without_a_window_is_stretched_between_its_percentiles() -> None:
    image = decode(dicom(DEEP)).pixels
    low, high = np.percentile(DEEP[::4, ::4], (0.5, 99.5))
    np.testing.assert_allclose(image, np.clip((DEEP - low) / (high - low) * 255, 0, 255), atol=0.51)


def test_signed_deep_values_keep_their_order() -> None:
    image = decode(dicom((IMAGE.astype(np.int16) - 128) * 16)).pixels
    assert correlation(image, IMAGE) > 0.999


# ---- A header that leaves no picture ------------------------------------------------------------

TWELVE = IMAGE.astype(np.uint16) * 16  # 12 bits, 320 to 3760
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
    image = decode(dicom(TWELVE, BitsStored=12, **fields))
    np.testing.assert_allclose(image.pixels.astype(int), OWN.astype(int), atol=1)
    assert "ignored" in image.warnings[0]


@given(
    centre=st.floats(-1e5, 1e5),
    width=st.floats(-10, 1e5),
    intercept=st.sampled_from([-1024.0, 0.0, 30_000.0]),
)
def test_no_window_leaves_the_image_unseen(centre: float, width: float, intercept: float) -> None:
    fields = {"WindowCenter": f"{centre:.8g}", "WindowWidth": f"{width:.8g}"}
    data = dicom(TWELVE, **fields, RescaleSlope="1", RescaleIntercept=str(intercept))
    image = decode(data).pixels[24:72, 20:60]
    assert np.ptp(image.astype(int)) > 70
    assert ((image == 0) | (image == 255)).mean() <= 0.55


def test_a_monochrome1_image_with_an_unusable_window_is_turned_all_the_same() -> None:
    image = decode(
        dicom(
            4095 - TWELVE,
            BitsStored=12,
            WindowCenter="-600",
            WindowWidth="1600",
            PhotometricInterpretation="MONOCHROME1",
        )
    )
    np.testing.assert_allclose(image.pixels.astype(int), OWN.astype(int), atol=1)


def test_the_first_window_that_leaves_a_picture_counts() -> None:
    both = decode(dicom(RAMP, WindowCenter=["-600", "3000"], WindowWidth=["1600", "2000"]))
    np.testing.assert_array_equal(both.pixels, decode(dicom(RAMP, **WINDOW)).pixels)
    assert len(both.warnings) == 1
    assert "window (centre -600, width 1600)" in both.warnings[0]


def test_a_binary_image_is_shown_through_its_window() -> None:
    # nothing is lost where there is nothing between black and white
    pixels = np.where(IMAGE > 128, 4000, 100).astype(np.uint16)
    image = decode(dicom(pixels, WindowCenter="2000", WindowWidth="10"))
    np.testing.assert_array_equal(image.pixels, np.where(IMAGE > 128, 255, 0))
    assert image.warnings == ()


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
    image = decode(written(header))
    np.testing.assert_array_equal(image.pixels, OWN)
    assert image.warnings == ()


def test_the_modality_lut_of_fluoroscopy_is_not_for_display() -> None:
    # PS3.3 C.8.7.1.1.2: it turns grey into X-ray intensity
    table = lookup(np.arange(4096)[::-1], 0, 12)
    fluoroscopy = {"Modality": "RF", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.2"}
    image = decode(dicom(TWELVE, BitsStored=12, ModalityLUTSequence=[table], **fluoroscopy))
    np.testing.assert_array_equal(image.pixels, OWN)


def test_a_modality_lut_that_leaves_one_value_is_ignored_with_a_warning() -> None:
    table = lookup(np.full(4096, 7), 0, 16)
    image = decode(dicom(TWELVE, BitsStored=12, ModalityLUTSequence=[table]))
    np.testing.assert_array_equal(image.pixels, OWN)
    assert "modality LUT is unusable" in image.warnings[0]
