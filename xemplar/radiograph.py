"""Bytes (PNG, JPEG, TIFF or DICOM) -> `Radiograph`. The one way in for every picture.

Nothing that could identify a patient leaves this module: of a header, only the fields of
`Radiograph` are kept.
"""

import hashlib
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from xemplar.errors import ImageTooLarge, NotARadiograph, UnreadableImage, UnsupportedImage

if TYPE_CHECKING:
    from pydicom import Dataset


DISPLAY_SIDE = 1024
"""JPEG films are decoded at a reduced size that keeps at least this many pixels on both sides."""

PERCENTILES = (0.5, 99.5)
"""Grey values that become black and white where a deep film names no window of its own."""

LYING = (5, 6, 7, 8)
"""EXIF orientations of a picture that is stored on its side."""

COLOUR_SPREAD = 12.0
"""A picture whose channels differ by more than this on average (of 255) is a colour photograph."""


@dataclass(frozen=True)
class Limits:
    """What is refused before it is decoded, so that memory stays bounded.

    Attributes:
        max_bytes: largest file, in bytes.
        max_pixels: most pixels; a chest film has up to 18 million.
        min_side: shortest side, in pixels, below which nothing can be seen.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 36_000_000
    min_side: int = 64


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A decoded film.

    Attributes:
        pixels: uint8 (height, width), 0 black (air) to 255 white (bone), upright.
        source_size: (height, width) in pixels of the upright film before any reduced-size decoding.
        sha256: hex digest of the bytes it was decoded from: its identity.
        format: "PNG", "JPEG", "TIFF" or "DICOM".
        view: one of `VIEWS` as a DICOM header says, None where it does not.
        photometric: DICOM's PhotometricInterpretation before turning, None for other formats.
        spacing_mm: (row, column) distance of source pixels in millimetres, None where unknown.
    """

    pixels: npt.NDArray[np.uint8]
    source_size: tuple[int, int]
    sha256: str
    format: str
    view: str | None = None
    photometric: str | None = None
    spacing_mm: tuple[float, float] | None = None


def decode(data: bytes, limits: Limits | None = None) -> Radiograph:
    """Decode a film.

    Args:
        data: the whole file: PNG (8 or 16 bit; grey, RGB, RGBA, palette), JPEG, TIFF or DICOM.
        limits: what to refuse; None for the defaults.

    Raises:
        UnreadableImage: empty, truncated, damaged, or none of these formats.
        UnsupportedImage: several frames, no pixels, or no projection radiograph.
        ImageTooLarge: more bytes or pixels than the limit.
        NotARadiograph: a colour photograph, a constant picture, or one too small to see anything.
    """
    limits = limits or Limits()
    if not data:
        raise UnreadableImage("the file is empty; send a PNG, JPEG, TIFF or DICOM radiograph")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the file has {len(data):,} bytes; the limit is {limits.max_bytes:,}")
    film = _decode_dicom(data, limits) if _is_dicom(data) else _decode_picture(data, limits)
    if film.pixels.min() == film.pixels.max():
        raise NotARadiograph(
            f"every pixel has the value {film.pixels.flat[0]}: a constant picture shows nothing"
        )
    return film


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"the picture has {width} x {height} = {width * height:,} pixels; the limit is "
            f"{limits.max_pixels:,}; send it at a smaller size"
        )
    if min(width, height) < limits.min_side:
        raise NotARadiograph(
            f"the picture is {width} x {height} pixels; both sides must have at least "
            f"{limits.min_side}"
        )


def _stretch(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Map low..high linearly to 0..255, clipped and rounded."""
    scale = 255.0 / max(high - low, 1e-6)
    grey: npt.NDArray[np.uint8] = np.clip((values - low) * scale + 0.5, 0, 255).astype(np.uint8)
    return grey


# ---- PNG, JPEG, TIFF ------------------------------------------------------------------------


def _decode_picture(data: bytes, limits: Limits) -> Radiograph:
    image = _open_picture(data)
    _check_size(*image.size, limits)
    width, height = image.size
    try:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise UnsupportedImage(f"the {image.format} holds {frames} pictures; send one film")
        image.draft(None, (DISPLAY_SIDE, DISPLAY_SIDE))  # acts on JPEG alone
        # Pillow turns a TIFF by itself, and gives its upright size
        turned = image.format != "TIFF" and _orientation(image) in LYING
        ImageOps.exif_transpose(image, in_place=True)
        pixels = _grey(image)
    except (NotARadiograph, UnsupportedImage):
        raise
    except Exception as error:
        raise UnreadableImage(
            f"the {image.format} picture is damaged or cut short: {error}"
        ) from error
    return Radiograph(
        pixels=pixels,
        source_size=(width, height) if turned else (height, width),
        sha256=hashlib.sha256(data).hexdigest(),
        format="JPEG" if image.format == "MPO" else str(image.format),
    )


def _open_picture(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=("PNG", "JPEG", "TIFF"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"far too many pixels: {error}") from error
    except Exception as error:
        raise UnreadableImage(
            f"this is no PNG, JPEG, TIFF or DICOM file, or its header is damaged "
            f"(it begins with {data[:8]!r})"
        ) from error


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Grey values of a loaded picture; alpha is dropped, deep grey is stretched to 8 bits."""
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    if image.mode == "LA":
        return np.asarray(image.getchannel("L"))
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image, dtype=np.float32)
        if not np.isfinite(deep).all():
            raise UnreadableImage("the picture holds values that are no numbers (NaN or infinity)")
        grey = _stretch(deep, *_contrast(deep))
        # Pillow itself turns only shallow TIFFs whose zero is white (TIFF 6.0, tag 262)
        zero_is_white = isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0
        return np.subtract(255, grey, dtype=np.uint8) if zero_is_white else grey
    image.info.pop("transparency", None)
    colour = np.asarray(image.convert("RGB"))
    step = max(1, int((colour.shape[0] * colour.shape[1] / 65_536) ** 0.5))
    sample = colour[::step, ::step].astype(np.int16)
    spread = float((sample.max(axis=2) - sample.min(axis=2)).mean())
    if spread > COLOUR_SPREAD:
        raise NotARadiograph(
            f"the picture is in colour (channels differ by {spread:.0f} of 255 on average; the "
            f"limit is {COLOUR_SPREAD:.0f}); a radiograph is grey"
        )
    return np.asarray(image.convert("RGB").convert("L"))


def _contrast(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Black and white point of a deep film without a window: percentiles, else the extremes."""
    low, high = (float(value) for value in np.percentile(values[::4, ::4], PERCENTILES))
    return (low, high) if high > low else (float(values.min()), float(values.max()))


# ---- DICOM ----------------------------------------------------------------------------------

PROJECTIONS = frozenset({"CR", "DX", "RG", "RF", "OT", ""})
"""DICOM modalities that may be a projection radiograph; the empty one is a header without it."""

VIEWS = frozenset(["PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LATERAL", "LAT"])
"""Words of DICOM's ViewPosition that are kept; any other text could say who the patient is."""


def _is_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM"


def _decode_dicom(data: bytes, limits: Limits) -> Radiograph:
    import pydicom  # costs 0.1 s, and most films are no DICOM

    try:
        _check_deflated(data, limits)
        header = pydicom.dcmread(BytesIO(data))
    except ImageTooLarge:
        raise
    except Exception as error:
        raise UnreadableImage(f"the DICOM header is damaged or cut short: {error}") from error
    try:
        _check_dicom(header, limits)
        pixels = _window(header)
        return Radiograph(
            pixels=pixels,
            source_size=(pixels.shape[0], pixels.shape[1]),
            sha256=hashlib.sha256(data).hexdigest(),
            format="DICOM",
            view=next(
                (w for w in _text(header, "ViewPosition").upper().split() if w in VIEWS), None
            ),
            photometric=_text(header, "PhotometricInterpretation") or None,
            spacing_mm=_spacing(header),
        )
    except (UnreadableImage, UnsupportedImage, ImageTooLarge, NotARadiograph):
        raise
    except Exception as error:
        raise UnreadableImage(f"the DICOM pixels cannot be decoded: {error}") from error


def _text(header: "Dataset", keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _spacing(header: "Dataset") -> tuple[float, float] | None:
    """Pixel spacing (row, column) in mm; None where absent or, as seen in real files, zero."""
    value = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if not value or len(value) != 2 or not all(0 < float(v) < inf for v in value):
        return None
    return float(value[0]), float(value[1])


def _check_dicom(header: "Dataset", limits: Limits) -> None:
    modality = _text(header, "Modality")
    if modality not in PROJECTIONS:
        raise UnsupportedImage(
            f"the DICOM modality is {modality[:16]!r}; a projection radiograph is CR or DX"
        )
    if "PixelData" not in header:
        raise UnsupportedImage("the DICOM object has no pixel data; send the image object itself")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UnsupportedImage(f"the DICOM object has {frames} frames; send a single film")
    photometric = _text(header, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedImage(
            f"the DICOM photometric interpretation is {photometric[:20]!r}; "
            "a radiograph is MONOCHROME1 or MONOCHROME2"
        )
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise UnsupportedImage(
            f"the DICOM object has {header.SamplesPerPixel} samples per pixel; a radiograph has 1"
        )
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    _check_size(columns, rows, limits)
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated:
        _check_codestream(header, rows, columns)


def _check_deflated(data: bytes, limits: Limits) -> None:
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


def _check_codestream(header: "Dataset", rows: int, columns: int) -> None:
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


def _stored(header: "Dataset") -> npt.NDArray[Any]:
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


def _window(header: "Dataset") -> npt.NDArray[np.uint8]:
    """Stored values -> displayed grey: modality LUT, VOI LUT or window, MONOCHROME1 turned.

    DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (photometric interpretation).
    """
    from pydicom.pixels.processing import apply_modality_lut

    stored = _stored(header)
    values = np.asarray(apply_modality_lut(stored, header))
    padding = header.get("PixelPaddingValue")
    outside = None if padding is None else stored == int(padding)
    if header.get("VOILUTSequence"):
        grey = _look_up(values, header.VOILUTSequence[0])
    elif header.get("WindowWidth") is not None and header.get("WindowCenter") is not None:
        grey = _through_window(np.asarray(values, np.float32), header)
    elif int(header.get("BitsStored") or 16) <= 8:
        span = np.array([[0, 2**header.BitsStored - 1]])
        span = span - 2 ** (header.BitsStored - 1) if header.PixelRepresentation else span
        low, high = sorted(float(end) for end in apply_modality_lut(span, header)[0])
        grey = _stretch(np.asarray(values, np.float32), low, high)
    else:
        deep = np.asarray(values, np.float32)
        film = deep if outside is None or outside.all() else deep[~outside][None]
        grey = _stretch(deep, *_contrast(film))
    if _text(header, "PhotometricInterpretation") == "MONOCHROME1":
        grey = np.subtract(255, grey, dtype=np.uint8)
    if outside is not None:
        grey[outside] = 0
    return grey


def _through_window(values: npt.NDArray[np.float32], header: "Dataset") -> npt.NDArray[np.uint8]:
    """The first window of the header: PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    centre, width = (
        float(value[0] if isinstance(value, Sequence) else value)
        for value in (header.WindowCenter, header.WindowWidth)
    )
    function = _text(header, "VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID") or not 0 < width < inf:
        raise UnreadableImage(
            f"the DICOM window has the function {function[:16]!r} and the width {width}; it must "
            "be LINEAR, LINEAR_EXACT or SIGMOID, and wider than 0"
        )
    if function == "SIGMOID":
        # beyond 40 the exponential is 0 or infinite to 8 bits, and need not overflow
        exponent = np.clip(-4 * (values - centre) / width, -40, 40)
        return _stretch(1 / (1 + np.exp(exponent)), 0, 1)
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return _stretch(values, centre - width / 2, centre + width / 2)


def _look_up(values: npt.NDArray[Any], lut: "Dataset") -> npt.NDArray[np.uint8]:
    """A VOI LUT: PS3.3 C.11.2.1.1. pydicom's own wraps around at values outside of the table."""
    count, first, bits = (int(value) for value in lut.LUTDescriptor)
    data = lut.LUTData
    table = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data)
    place = np.clip(values.astype(np.float64) - first, 0, min(count or 65_536, len(table)) - 1)
    return _stretch(table[place.astype(np.intp)].astype(np.float32), 0, 2**bits - 1)
