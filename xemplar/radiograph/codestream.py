"""Compressed DICOM pixels: how much they unpack to is known before they are unpacked."""

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from xemplar.errors import ImageTooLarge, UnreadableImage
from xemplar.radiograph.film import Limits

if TYPE_CHECKING:
    from pydicom import Dataset

GDCM_SECONDS = 60
"""After so long GDCM is given up; the largest film takes it a few seconds."""

GDCM_APART = """
import io, sys, numpy, pydicom
film, pixels = pydicom.dcmread(io.BytesIO(sys.stdin.buffer.read()), force=True), io.BytesIO()
numpy.save(pixels, film.pixel_array)
sys.stdout.buffer.write(pixels.getvalue())
"""

DESCRIBING = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
"""The elements that a decoder needs, and nothing of the patient."""


def check_deflated(data: bytes, limits: Limits) -> None:
    """Refuse a deflated data set (PS3.5 A.5) that inflates beyond the largest file."""
    from pydicom.filereader import read_dataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    file = BytesIO(data)
    file.seek(132)
    meta = read_dataset(
        file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2
    )
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        inflating = zlib.decompressobj(-zlib.MAX_WBITS)
        inflated = len(inflating.decompress(file.read(), limits.max_bytes + 1))
        if inflated > limits.max_bytes:
            raise ImageTooLarge(
                f"the deflated DICOM data set has more than {limits.max_bytes:,} bytes, the limit; "
                "send it at a smaller size"
            )


def check_codestream(header: "Dataset", rows: int, columns: int) -> None:
    """Refuse a compressed frame of another size than its header says: it could be a bomb."""
    from pydicom.encaps import get_frame
    from pydicom.uid import RLELossless

    # one frame needs no table of places, and a wrong one would show us another than is decoded
    header.pop("ExtendedOffsetTable", None)
    frame = get_frame(header.PixelData, 0, number_of_frames=1)
    if header.file_meta.TransferSyntaxUID == RLELossless:
        return _check_rle(frame, rows * columns)
    size = _codestream_size(frame)
    if size != (rows, columns, 1):
        declared = "no size that can be read" if size is None else "{} x {} x {}".format(*size)
        raise UnreadableImage(
            f"the compressed frame declares {declared} (rows x columns x samples), "
            f"but its header says {rows} x {columns} x 1"
        )
    return None


def _check_rle(frame: bytes, pixels: int) -> None:
    """Refuse an RLE frame (PS3.5 annex G) with a segment that unpacks to more than the pixels."""
    count, *offsets = struct.unpack("<16L", frame[:64])
    for start, end in pairwise([*offsets[:count], len(frame)]):
        place, unpacked = start, 0
        while place < end:
            run = frame[place]
            unpacked += run + 1 if run < 128 else 257 - run if run > 128 else 0
            place += run + 2 if run < 128 else 2 if run > 128 else 1
            if unpacked > pixels + 128:  # encoders pad segments
                raise UnreadableImage(
                    f"the RLE frame holds more than the {pixels:,} pixels that its header says"
                )


def _codestream_size(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, samples) that a JPEG, JPEG-LS or JPEG 2000 stream declares.

    None where the stream does not begin as DICOM wants it (PS3.5 8.2: no JP2 file around it).
    Markers: ITU-T T.81 B.2.2 (SOFn), T.87 C.1.1 (SOF55), T.800 A.5.1 (SIZ).
    """
    if frame.startswith(b"\xff\x4f\xff\x51") and len(frame) >= 42:
        x1, y1, x0, y0 = struct.unpack(">4L", frame[8:24])
        return y1 - y0, x1 - x0, int.from_bytes(frame[40:42], "big")
    place = 2
    while frame[:2] == b"\xff\xd8" and place + 10 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            rows, columns, samples = struct.unpack(">HHB", frame[place + 5 : place + 10])
            return rows, columns, samples
        # 0xFF fills up; TEM and RSTn stand alone; all others say how long they are
        bare = 2 if marker == 0x01 or 0xD0 <= marker <= 0xD7 else 0
        length = 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
        place += 1 if marker == 0xFF else bare or length
    return None


def stored_values(header: "Dataset") -> npt.NDArray[Any]:
    """The stored values (rows, columns).

    Only GDCM decodes JPEG lossless and JPEG-LS, and damaged streams make it end the whole process
    (abort or segmentation fault, found by fuzzing). So it works in a process of its own.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import (
        JPEG2000TransferSyntaxes,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLSTransferSyntaxes,
        JPEGTransferSyntaxes,
    )

    syntax = header.file_meta.TransferSyntaxUID
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit, *JPEG2000TransferSyntaxes):
        header.pixel_array_options(decoding_plugin="pillow")
    elif syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        film = Dataset()
        film.file_meta = FileMetaDataset()
        film.file_meta.TransferSyntaxUID = syntax
        for keyword in DESCRIBING:
            setattr(film, keyword, header.get(keyword))
        film["PixelData"] = header["PixelData"]
        file = BytesIO()
        film.save_as(file)
        apart = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", GDCM_APART],
            input=file.getvalue(),
            capture_output=True,
            timeout=GDCM_SECONDS,
            check=False,
        )
        if apart.returncode != 0:
            raise UnreadableImage(f"the frame ({syntax.name}) is damaged: GDCM cannot decode it")
        return np.asarray(np.load(BytesIO(apart.stdout), allow_pickle=False))
    return header.pixel_array
