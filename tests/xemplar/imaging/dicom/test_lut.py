"""DICOM lookup tables: all encodings, compared with dcmtk where possible."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from tests.images import dicom
from tests.xemplar.imaging.samples import IMAGE, RAMP, WINDOW, lookup
from xemplar.imaging import decode

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

TWELVE = IMAGE.astype(np.uint16) * 16  # 12 bits, 320 to 3760
GAMMA = np.round(4095 * (np.arange(4096) / 4095) ** 0.8)
WANTED = np.round(GAMMA[TWELVE] / 4095 * 255)
"""IMAGE through a table of 12 bits."""


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lut_is_looked_up_and_stretched_over_its_bits(bits: int) -> None:
    # the table turns 1000 .. 4999 around; what lies outside takes the first or last entry
    top = 2**bits - 1
    table = np.round(np.linspace(top, 0, 4000))
    image = decode(dicom(RAMP, VOILUTSequence=[lookup(table, 1000, bits)])).pixels
    wanted = table[np.clip(RAMP.astype(int) - 1000, 0, 3999)] / top * 255
    np.testing.assert_allclose(image, wanted, atol=0.51)


def test_a_voi_lut_counts_more_than_a_window() -> None:
    table = np.linspace(0, 4095, 4000)
    both = dicom(RAMP, VOILUTSequence=[lookup(table, 0, 12)], **WINDOW)
    alone = dicom(RAMP, VOILUTSequence=[lookup(table, 0, 12)])
    np.testing.assert_array_equal(decode(both).pixels, decode(alone).pixels)


def table(
    data: bytes, first: int, bits: int, vr: str = "OW", first_vr: str = "US", count: int = 4096
) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", first_vr, [count, first, bits])
    item.add_new("LUTData", vr, data)
    return item


def shown(item: Dataset, pixels: npt.NDArray[Any] = TWELVE, **fields: Any) -> Any:
    return decode(dicom(pixels, VOILUTSequence=[item], **{"BitsStored": 12, **fields}))


def little(entries: npt.NDArray[Any], dtype: str = "<u2") -> bytes:
    return entries.astype(dtype).tobytes()


EIGHT = GAMMA // 16

WRITTEN = {
    "12 bits in words": table(little(GAMMA), 0, 12),
    "12 bits that say 16": table(little(GAMMA), 0, 16),
    "16 bits that say 12": table(little(GAMMA * 16), 0, 12),
    "14 bits that say 16": table(little(GAMMA * 4), 0, 16),
    "8 bits in words": table(little(EIGHT), 0, 8),
    "8 bits, packed": table(little(EIGHT, "u1"), 0, 8),
    "8 bits, packed, in bytes": table(little(EIGHT, "u1"), 0, 8, vr="OB"),
    "8 bits, packed, that say 16": table(little(EIGHT, "u1"), 0, 16),
    "another byte order": table(little(GAMMA, ">u2"), 0, 12),
    "bytes of unknown kind": table(little(GAMMA), 0, 12, vr="UN"),
    "one entry fewer than it says": table(little(GAMMA)[:-2], 0, 12),
}


@pytest.mark.parametrize("item", WRITTEN.values(), ids=WRITTEN)
def test_a_voi_lut_is_read_however_it_is_written(item: Dataset) -> None:
    np.testing.assert_allclose(shown(item).pixels.astype(int), WANTED, atol=1.1)


@pytest.mark.parametrize("name", ["12 bits that say 16", "16 bits that say 12"])
def test_a_depth_that_is_not_that_of_the_entries_is_told(name: str) -> None:
    [warning] = shown(WRITTEN[name]).warnings
    assert "but its entries have" in warning


def test_0_entries_are_65536() -> None:
    deep = little(np.round(65535 * (np.arange(65_536) / 65_535) ** 0.8))
    image = shown(table(deep, 0, 16, count=0), TWELVE * 16, BitsStored=16)
    np.testing.assert_allclose(image.pixels.astype(int), WANTED, atol=1.1)


@pytest.mark.parametrize(("first", "vr"), [(-2048, "SS"), (63_488, "US")])
def test_the_first_value_is_signed_where_the_pixels_are(first: int, vr: str) -> None:
    item = table(little(GAMMA), first, 12, first_vr=vr)
    signed = (TWELVE.astype(int) - 2048).astype(np.int16)
    np.testing.assert_allclose(shown(item, signed).pixels.astype(int), WANTED, atol=1.1)


@pytest.mark.parametrize(("first", "vr"), [(-1024, "SS"), (64_512, "US")])
def test_the_first_value_is_signed_where_rescaling_makes_values_negative(
    first: int, vr: str
) -> None:
    item = table(little(GAMMA), first, 12, first_vr=vr)
    image = shown(item, RescaleSlope="1", RescaleIntercept="-1024")
    np.testing.assert_allclose(image.pixels.astype(int), WANTED, atol=1.1)


@pytest.mark.parametrize(("first", "vr"), [(40_000, "US"), (40_000 - 65_536, "SS")])
def test_the_first_value_has_no_sign_where_the_pixels_have_none(first: int, vr: str) -> None:
    item = table(little(GAMMA), first, 12, first_vr=vr)
    image = shown(item, (TWELVE + 40_000).astype(np.uint16), BitsStored=16)
    np.testing.assert_allclose(image.pixels.astype(int), WANTED, atol=1.1)


@pytest.mark.parametrize("name", ["12 bits in words", "8 bits, packed"])
@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, ImplicitVRLittleEndian])
def test_a_voi_lut_is_read_in_the_encoding_of_the_file(syntax: Any, name: str) -> None:
    header = dcmread(io.BytesIO(dicom(TWELVE, BitsStored=12)))
    header.file_meta.TransferSyntaxUID = syntax
    data = WRITTEN[name].LUTData
    if not syntax.is_little_endian:
        header.PixelData = TWELVE.astype(">u2").tobytes()
        data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
    header.VOILUTSequence = [table(data, 0, WRITTEN[name].LUTDescriptor[2])]
    file = io.BytesIO()
    dcmwrite(
        file,
        header,
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        force_encoding=True,
    )
    image = decode(file.getvalue())
    np.testing.assert_allclose(image.pixels.astype(int), WANTED, atol=1.1)


UNUSABLE = {
    "no data": table(b"", 0, 12),
    "0 bits": table(little(GAMMA), 0, 0),
    "32 bits": table(little(GAMMA), 0, 32),
    "of other values": table(little(GAMMA), 60_000, 12),
    "all entries alike": table(little(np.full(4096, 9)), 0, 12),
}


@pytest.mark.parametrize("item", UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_voi_lut_gives_way_to_the_next_and_to_the_window(item: Dataset) -> None:
    usable, window = WRITTEN["12 bits in words"], {"WindowCenter": "2048", "WindowWidth": "4096"}
    image = decode(dicom(TWELVE, BitsStored=12, VOILUTSequence=[item, usable]))
    np.testing.assert_allclose(image.pixels.astype(int), WANTED, atol=1.1)
    assert "VOI LUT leaves no picture; it was ignored" in image.warnings[0]
    np.testing.assert_array_equal(
        shown(item, **window).pixels, decode(dicom(TWELVE, BitsStored=12, **window)).pixels
    )


# ---- dcmtk --------------------------------------------------------------------------------------


def dcmtk(path: Path, *options: str) -> npt.NDArray[np.uint8]:
    """The grey that dcmtk shows."""
    if shutil.which("dcm2pnm") is None:
        pytest.skip("dcmtk is not installed")
    grey = path.with_suffix(".pgm")
    subprocess.run(["dcm2pnm", "--write-raw-pnm", *options, path, grey], check=True)
    return np.asarray(Image.open(grey))


SIGNED = (TWELVE.astype(int) - 2048).astype(np.int16)
LUT, WINDOWED = ("--use-voi-lut", "1"), ("--use-window", "1")
SHOWN_BY_DCMTK = {
    "a window": (TWELVE, {"WindowCenter": "2000", "WindowWidth": "3000"}, WINDOWED),
    "a signed window": (SIGNED, {"WindowCenter": "0", "WindowWidth": "3000"}, WINDOWED),
    "a rescaled window": (
        TWELVE,
        {"WindowCenter": "500", "WindowWidth": "3000", "RescaleSlope": "0.5",
         "RescaleIntercept": "-300"},
        WINDOWED,
    ),
    "MONOCHROME1": (
        TWELVE,
        {"WindowCenter": "2000", "WindowWidth": "3000", "PhotometricInterpretation": "MONOCHROME1"},
        WINDOWED,
    ),
    "12 bits": (TWELVE, {"VOILUTSequence": [table(little(GAMMA), 0, 12)]}, LUT),
    "8 bits, packed": (TWELVE, {"VOILUTSequence": [table(little(EIGHT, "u1"), 0, 8)]}, LUT),
    "signed": (SIGNED, {"VOILUTSequence": [table(little(GAMMA), -2048, 12, first_vr="SS")]}, LUT),
    "a modality LUT": (
        TWELVE,
        {"ModalityLUTSequence": [table(little(GAMMA), 0, 12) for _ in range(1)],
         "WindowCenter": "2000", "WindowWidth": "3000"},
        WINDOWED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN_BY_DCMTK)
def test_dcmtk_shows_the_same(name: str, tmp_path: Path) -> None:
    pixels, fields, options = SHOWN_BY_DCMTK[name]
    for item in fields.get("ModalityLUTSequence", []):
        item.ModalityLUTType = "US"
    data = dicom(pixels, BitsStored=12 if pixels is TWELVE else 16, **fields)
    path = tmp_path / "image.dcm"
    path.write_bytes(data)
    theirs = dcmtk(path, *options).astype(int)
    assert np.abs(decode(data).pixels.astype(int) - theirs).max() <= 1
