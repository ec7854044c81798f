"""Compressed images: the libraries that decode them, against what decoded them before.

A phantom of 12 bits is packed as RLE and as JPEG-LS; each pair decodes the same frame, by turns.

    python -m benchmarks.codecs --side 2048
"""

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from PIL import Image  # noqa: F401 -- before GDCM, whose zlib it would take for its own
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGLSLossless, RLELossless

from tests.images import compressed, dicom
from xemplar.imaging.dicom.codecs import GDCM_SCRIPT
from xemplar.phantom import phantom


def by_gdcm_apart(frame: bytes, side: int) -> None:
    """Decode with GDCM in a process of its own."""
    asked = {"rows": side, "columns": side, "allocated": 16, "stored": 12, "syntax": JPEGLSLossless}
    given = json.dumps(asked).encode() + b"\n" + frame
    subprocess.run(
        [sys.executable, "-I", GDCM_SCRIPT], input=given, capture_output=True, check=True
    )


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Decode by turns, print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    import gdcm

    grey = phantom(1, size=asked.side).pixels.astype(np.uint16) * 16
    noise = np.random.default_rng(0).integers(0, 16, grey.shape, dtype=np.uint16)
    plain = dicom(grey + noise, BitsStored=12)
    rle, ls = (
        dcmread(io.BytesIO(compressed(plain, syntax)))
        for syntax in (gdcm.TransferSyntax.RLELossless, gdcm.TransferSyntax.JPEGLSLossless)
    )
    frame = get_frame(ls.PixelData, 0, number_of_frames=1)
    pairs = {
        "RLE: pydicom's Python, pylibjpeg-rle": (
            lambda: get_decoder(RLELossless).as_array(rle, decoding_plugin="pydicom"),
            lambda: get_decoder(RLELossless).as_array(rle, decoding_plugin="pylibjpeg"),
        ),
        "JPEG-LS: GDCM apart, pyjpegls": (
            lambda: by_gdcm_apart(frame, asked.side),
            lambda: get_decoder(JPEGLSLossless).as_array(ls, decoding_plugin="pyjpegls"),
        ),
    }
    for name, (before, after) in pairs.items():
        times = [(seconds(before), seconds(after)) for _ in range(asked.repeats)]
        then, now = (median(each) for each in zip(*times, strict=True))
        print(f"{name:40} {then:6.3f} s  {now:6.3f} s  {then / now:6.1f} times")


if __name__ == "__main__":
    main()
