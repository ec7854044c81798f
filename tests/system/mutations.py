"""Mutated images: damaged bytes, false headers, wrong types.

Each mutation is determined by a seed and its number, so that any of them can be reproduced.
`tests.system.mutated_uploads` and tests/app/test_mutated_uploads.py send them.
"""

import random
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from PIL import Image  # noqa: F401 -- before GDCM, whose zlib it would take for its own

# isort: split
import gdcm
import numpy as np
from pydicom import uid

from tests.images import compressed, dicom, encoded
from tests.system.header_lies import LIES, Change
from xemplar.phantom.radiograph import phantom

SIDE = 128
"""Side of the original images, in pixels."""

BEGINNINGS = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0", b"MM\0*", b"GIF89a", b"BM", b"%PDF-1.7",
    b"PK\x03\x04", b"\xff\x4f\xff\x51", b"\x1f\x8b\x08", b"RIFF\0\0\0\0WEBP", bytes(8),
)  # fmt: skip
"""Magic bytes of other file types."""


@dataclass(frozen=True)
class Mutation:
    """A mutated image.

    Attributes:
        image: name of the original.
        kind: of the mutation.
        data: the file's bytes.
    """

    image: str
    kind: str
    data: bytes


def mutation(number: int, seed: int = 0) -> Mutation:
    """Create the mutation of a number: one change, or a false header with damage."""
    draw = random.Random(f"{seed}/{number}")
    images = _images()
    (image,) = draw.choices(list(images), [_weight(name) for name in images])
    lies = LIES.get(image.partition(" ")[0], {})
    kinds = [draw.choice([*DAMAGES, *lies])]
    if lies and draw.random() < 0.2:
        kinds = [draw.choice(list(lies)), draw.choice(list(DAMAGES))]
    data = images[image]
    for kind in kinds:
        data = (DAMAGES | lies)[kind](data, draw)
    return Mutation(image, " + ".join(kinds), data)


def _weight(image: str) -> float:
    """Weigh an original; GDCM decodes one type in a separate process, which is 100 times slower."""
    return 0.1 if image == "DICOM JPEG lossless" else 1.0


@cache
def _images() -> Mapping[str, bytes]:
    grey = phantom(1, size=SIDE).pixels
    deep = grey.astype(np.uint16) * 16
    plain = dicom(
        deep, BitsStored=12, NumberOfFrames="1", PixelSpacing=["0.2", "0.2"], WindowCenter="2000",
        WindowWidth="3000", RescaleIntercept="0", RescaleSlope="1", PixelPaddingValue=0,
    )  # fmt: skip
    eight = dicom(grey)
    syntax = gdcm.TransferSyntax
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of outdated features, used here on purpose
        return {
            "PNG grey": encoded(grey),
            "PNG deep": encoded(deep),
            "PNG colour": encoded(np.stack([grey] * 3, axis=-1)),
            "JPEG baseline": encoded(grey, "JPEG"),
            "JPEG progressive": encoded(np.stack([grey] * 3, axis=-1), "JPEG", progressive=True),
            "TIFF packed": encoded(deep, "TIFF", compression="tiff_adobe_deflate"),
            "DICOM plain": plain,
            "DICOM eight bit": eight,
            "DICOM implicit": compressed(plain, syntax.ImplicitVRLittleEndian),
            "DICOM deflated": dicom(
                deep, TransferSyntaxUID=uid.DeflatedExplicitVRLittleEndian, BitsStored=12
            ),
            "DICOM RLE": compressed(plain, syntax.RLELossless),
            "DICOM JPEG": compressed(eight, syntax.JPEGBaselineProcess1),
            "DICOM JPEG 2000": compressed(plain, syntax.JPEG2000Lossless),
            "DICOM JPEG lossless": compressed(plain, syntax.JPEGLosslessProcess14_1),
            "DICOM JPEG-LS": compressed(plain, syntax.JPEGLSLossless),
        }


# ---- damages: to any file -------------------------------------------------------------------


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 2, 8, 64))):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _flip_in_header(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(min(len(data), 1500))
    return data[:place] + bytes([draw.randrange(256)]) + data[place + 1 :]


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    place, run = draw.randrange(len(data)), draw.choice((4, 64, 1024))
    noise = draw.choice((draw.randbytes(run), bytes(run), b"\xff" * run))
    return data[:place] + noise + data[place + run :]


def _truncate(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _cut_out(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + data[place + draw.choice((1, 4, 100)) :]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    begin = draw.randrange(len(data))
    end = draw.randrange(begin, len(data))
    return data[:end] + data[begin:end] + data[end:]


def _append(data: bytes, draw: random.Random) -> bytes:
    return data + draw.choice((draw.randbytes(1000), data, bytes(100_000)))


def _other_beginning(data: bytes, draw: random.Random) -> bytes:
    magic = draw.choice(BEGINNINGS)
    if draw.random() < 0.3:
        return data[:128] + b"DICM" + data[132:]
    return magic + data[len(magic) :]


DAMAGES: dict[str, Change] = {
    "bits flipped": _flip,
    "a byte of the header": _flip_in_header,
    "overwritten": _overwrite,
    "cut short": _truncate,
    "cut out": _cut_out,
    "repeated": _repeat,
    "appended": _append,
    "magic bytes": _other_beginning,
}
