"""Decodes one JPEG frame with GDCM, in a process of its own (`xemplar.imaging.dicom.codecs`).

Reads from stdin a line of JSON (rows, columns, samples, bits allocated, bits stored, transfer
syntax UID) and the frame; writes the samples, little endian, to stdout.
"""

import json
import sys

import gdcm


def main() -> None:
    """Decode stdin to stdout; ends with an error where GDCM cannot."""
    asked = json.loads(sys.stdin.buffer.readline())
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(sys.stdin.buffer.read())
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    pixels = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    pixels.SetValue(fragments.__ref__())

    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((asked["columns"], asked["rows"], 1))
    image.SetDataElement(pixels)
    # the samples are handed over as they are stored
    colour = gdcm.PhotometricInterpretation.GetPIType(
        "MONOCHROME2" if asked["samples"] == 1 else "RGB"
    )
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(colour))
    syntax = gdcm.TransferSyntax.GetTSType(asked["syntax"])
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    allocated, stored = asked["allocated"], asked["stored"]
    image.SetPixelFormat(gdcm.PixelFormat(asked["samples"], allocated, stored, stored - 1, 0))
    # GDCM hands bytes over as text
    sys.stdout.buffer.write(image.GetBuffer().encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    main()
