"""Keeps GDCM out of the process: imports pydicom without it, runs it as a script of its own.

pydicom loads GDCM on import, whether anything needs it or not. GDCM's wheel exports its own zlib
and OpenSSL to every library loaded later: Pillow then corrupts its memory at the first PNG. So a
placeholder module takes GDCM's name while pydicom is imported. It provides only the version, which
is all that pydicom reads; a program that uses pydicom with GDCM itself gets the real module on
first use. Run as a script (by `xemplar.imaging.dicom.codecs`), this module decodes one frame.
"""

import json
import sys
from functools import cache
from importlib import import_module, metadata
from types import ModuleType
from typing import Any


class _Placeholder(ModuleType):
    class Version:
        @staticmethod
        def GetVersion() -> str:  # noqa: N802 - as GDCM calls it
            return metadata.version("python-gdcm")

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get("gdcm") is self:
            # pydicom's older interface probes for DataElement and works without it
            raise AttributeError(name)
        return getattr(import_module("gdcm"), name)


@cache
def import_pydicom() -> None:
    """Import pydicom without GDCM; no effect if the host program has imported either."""
    if "pydicom" in sys.modules or "gdcm" in sys.modules:
        return
    sys.modules["gdcm"] = _Placeholder("gdcm")
    try:
        import_module("pydicom.pixels")
        import_module("pydicom.pixels.encoders")
    finally:
        del sys.modules["gdcm"]


def main() -> None:
    """Decode one JPEG frame from stdin to stdout; exit with an error where GDCM cannot.

    Reads a line of JSON (rows, columns, samples, bits allocated, bits stored, transfer syntax UID)
    and then the frame; writes the samples, little endian.
    """
    import gdcm

    request = json.loads(sys.stdin.buffer.readline())
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(sys.stdin.buffer.read())
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    pixels = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    pixels.SetValue(fragments.__ref__())

    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((request["columns"], request["rows"], 1))
    image.SetDataElement(pixels)
    # return the samples as stored
    colour = gdcm.PhotometricInterpretation.GetPIType(
        "MONOCHROME2" if request["samples"] == 1 else "RGB"
    )
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(colour))
    syntax = gdcm.TransferSyntax.GetTSType(request["syntax"])
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    allocated, stored = request["allocated"], request["stored"]
    image.SetPixelFormat(gdcm.PixelFormat(request["samples"], allocated, stored, stored - 1, 0))
    # GDCM returns bytes as text
    sys.stdout.buffer.write(image.GetBuffer().encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    main()
