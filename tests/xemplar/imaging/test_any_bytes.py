"""Arbitrary bytes decode to a `Radiograph` or raise an `InputError`."""

import re
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEGBaseline8Bit,
)

from tests.images import compressed, dicom, encapsulated, encoded
from tests.xemplar.imaging.samples import DEEP, IMAGE, LOSSLESS, WINDOW, lying, refused
from xemplar.errors import (
    InputError,
    UnreadableImage,
)
from xemplar.imaging import Radiograph, decode

pytestmark = pytest.mark.filterwarnings(
    # damaged headers make both libraries talk; only what they raise matters here
    "ignore::UserWarning:pydicom",
    "ignore::UserWarning:PIL",
)


EXAMPLES: dict[str, bytes] = {
    "PNG": encoded(IMAGE),
    "PNG 16": encoded(DEEP),
    "JPEG": encoded(IMAGE, "JPEG"),
    "JPEG turned": lying(IMAGE, 6, "JPEG"),
    "JPEG progressive": encoded(IMAGE, "JPEG", progressive=True),
    "TIFF": encoded(IMAGE, "TIFF"),
    "TIFF LZW": encoded(IMAGE, "TIFF", compression="tiff_lzw"),
    "DICOM": dicom(IMAGE, **WINDOW, ViewPosition="PA", PixelSpacing=["1", "1"]),
    "DICOM deflated": dicom(IMAGE, TransferSyntaxUID="1.2.840.10008.1.2.1.99"),
    "DICOM JPEG": encapsulated(IMAGE, encoded(IMAGE, "JPEG"), JPEGBaseline8Bit),
    "DICOM JPEG 2000": compressed(dicom(IMAGE), LOSSLESS["JPEG 2000"]),
    "DICOM RLE": compressed(dicom(IMAGE), LOSSLESS["RLE"]),
}


def image_or_refusal(data: bytes) -> Radiograph | InputError:
    try:
        image = decode(data)
    except InputError as error:
        return error
    assert image.pixels.dtype == np.uint8
    assert image.pixels.ndim == 2
    return image


@pytest.mark.parametrize("name", EXAMPLES)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_anywhere_is_an_image_or_a_refusal(name: str, share: float) -> None:
    data = EXAMPLES[name]
    image_or_refusal(data[: int(share * len(data))])


@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
def test_a_file_with_changed_bytes_is_an_image_or_a_refusal(name: str, data: st.DataObject) -> None:
    content = bytearray(EXAMPLES[name])
    # headers are where damage does most; so half of the changes fall into the first 600 bytes
    near = st.integers(0, min(600, len(content)) - 1)
    places = st.one_of(near, st.integers(0, len(content) - 1))
    for place, value in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=3)
    ):
        content[place] = value
    image_or_refusal(bytes(content))


# Values that headers in use hold, and some that no header should
NUMBERS = st.one_of(st.integers(-(2**15), 2**16 - 1), st.sampled_from([0, 1, 8, 12, 16, 255, 4096]))
DECIMALS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32).map("{:.6g}".format),
    st.sampled_from(["", "abc", "1E400", "-0", "1e-40", "40\\400", "NaN", "None", "\0"]),
)
WORDS = st.sampled_from(
    [
        "",
        "RGB",
        "MONOCHROME1",
        "YBR_FULL_422",
        "PALETTE COLOR",
        "SIGMOID",
        "LINEAR_EXACT",
        "RF",
        "P\\F",
    ]
)
VRS = st.sampled_from(["US", "SS", "DS", "IS", "CS", "LO", "OB", "OW", "UN", "UL", "FD", "SQ"])
INTEGERS = [
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PlanarConfiguration", "PixelPaddingValue", "PixelPaddingRangeLimit",
]  # fmt: skip
TEXTS = [
    "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "NumberOfFrames",
    "PhotometricInterpretation", "VOILUTFunction", "Modality", "PatientOrientation", "PatientAge",
    "PixelSpacing", "ViewPosition", "BodyPartExamined", "PresentationIntentType",
]  # fmt: skip
SEQUENCES = [
    "VOILUTSequence", "ModalityLUTSequence", "ViewCodeSequence", "AnatomicRegionSequence",
    "PrimaryAnatomicStructureSequence",
]  # fmt: skip


def element(keyword: str, vr: str, value: bytes) -> bytes:
    """An element in explicit VR little endian, whatever VR it should have."""
    tag = tag_for_keyword(keyword) or 0
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    is_long = vr in ("OB", "OW", "UN", "SQ")
    return head + struct.pack("<HI" if is_long else "<H", *[0] * is_long, len(value)) + value


ELEMENTS = st.one_of(
    st.builds(
        lambda keyword, vr, values: element(
            keyword, vr, b"".join(struct.pack("<H", value % 2**16) for value in values)
        ),
        st.sampled_from([*INTEGERS, *SEQUENCES]),
        VRS,
        st.lists(NUMBERS, max_size=3),
    ),
    st.builds(
        lambda keyword, vr, value: element(keyword, vr, value.encode()),
        st.sampled_from([*TEXTS, *INTEGERS]),
        VRS,
        st.one_of(DECIMALS, WORDS),
    ),
    st.builds(
        lambda keyword, words, data: element(
            keyword,
            "SQ",
            struct.pack("<HHI", 0xFFFE, 0xE000, 14 + 12 + len(data))
            + element("LUTDescriptor", "US", struct.pack("<3H", *words))
            + element("LUTData", "OW", data),
        ),
        st.sampled_from(SEQUENCES),
        st.tuples(*[NUMBERS.map(lambda value: value % 2**16)] * 3),
        st.binary(max_size=40).map(lambda data: data * 2),
    ),
)
FRAMES = {
    "plain": IMAGE.tobytes(),
    "deep": DEEP.tobytes(),
    "JPEG": encapsulate([encoded(IMAGE, "JPEG")]),
    "JPEG 2000": encapsulate([encoded(IMAGE, "JPEG2000")]),
}


@pytest.mark.parametrize("frame", FRAMES)
@settings(max_examples=4 * settings().max_examples)
@given(elements=st.lists(ELEMENTS, max_size=5))
def test_any_header_gives_an_image_or_a_refusal_in_our_own_words(
    frame: str, elements: list[bytes]
) -> None:
    depth = 16 if frame == "deep" else 8
    sizes = {"Rows": 96, "Columns": 80, "BitsAllocated": depth}
    usual = [element(name, "US", struct.pack("<H", size)) for name, size in sizes.items()]
    pixels = element("PixelData", "OW", FRAMES[frame])
    answer = image_or_refusal(b"".join([*usual, *elements, pixels]))
    if isinstance(answer, InputError):
        cause: BaseException | None = answer.__cause__
        while cause is not None:
            assert not str(cause) or str(cause) not in str(answer)
            cause = cause.__cause__
        assert not re.search("NoneType|object has no|Traceback|Error|<class|dtype", str(answer))


# GDCM, the only decoder of these, ends its process at such streams instead of raising: by SIGABRT
# (an assertion) or SIGSEGV, seen by running it in a forked child.
@pytest.mark.parametrize(
    ("name", "offset", "flip"),
    [
        ("JPEG lossless (selection value 1)", 15, 0x01),  # Huffman table: SIGABRT
        ("JPEG lossless (selection value 1)", 6, 0x10),  # precision of 24 bits: SIGSEGV
        ("JPEG-LS", 6, 0x10),  # precision of 24 bits: SIGABRT
    ],
)
def test_a_stream_at_which_gdcm_ends_its_process_is_rejected(
    name: str, offset: int, flip: int
) -> None:
    content = bytearray(compressed(dicom(IMAGE), LOSSLESS[name]))
    content[content.index(b"\xff\xd8") + offset] ^= flip
    refused(bytes(content), UnreadableImage, "damaged")


BEGINNINGS = (
    b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", bytes(128) + b"DICM",
)  # fmt: skip


@given(data=st.binary(max_size=300), beginning=st.sampled_from(BEGINNINGS))
@example(data=b"", beginning=BEGINNINGS[-1])
def test_any_bytes_behind_any_beginning_are_rejected(data: bytes, beginning: bytes) -> None:
    assert isinstance(image_or_refusal(beginning + data), InputError)
