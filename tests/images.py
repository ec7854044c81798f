"""Small images and tiny networks that tests build on."""

import io
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from xemplar.imaging.preprocess import PreprocessSpec
from xemplar.model.checkpoint import Card, Checkpoint
from xemplar.model.densenet import EMBEDDING, MEAN, PROJECTION, Architecture, shapes
from xemplar.model.encoder import OpenVinoBackend, Precision

TINY = Architecture(growth=4, blocks=(1, 2, 1, 1), stem=8, projection=6)
PLAIN = replace(TINY, projection=0)
"""The same, whose embeddings are the channels themselves."""


def seeded_weights(
    architecture: Architecture, findings: int, seed: int = 0, size: int = 64
) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights with batch-norm statistics as a trained network has them: none is 0 or 1.

    And with the mean of what they make of some images, so that two images may be unlike one
    another. ``size`` is that of the network's input. Without torch, which takes 5 s of a processor
    to import: most processes of tests need nothing else of it.
    """
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes(architecture, findings, size).items():
        if name in EMBEDDING:
            continue
        if name.startswith("classifier."):
            values = generator.normal(0, 0.5, shape)
        elif len(shape) == 4:  # of a convolution, as He et al. (ICCV 2015) begin
            values = generator.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name.endswith(".running_var"):
            values = generator.uniform(0.5, 2, shape)
        elif name.endswith(".weight"):
            values = generator.uniform(0.5, 1.5, shape)
        elif name.endswith(".running_mean"):
            values = generator.normal(0, 0.3, shape)
        else:
            values = generator.normal(0, 0.2, shape)
        weights[name] = values.astype(np.float32)
    usual = np.stack([drawn_image(1000 + number, size, size) for number in range(8)])
    card = Card(("Finding",) * findings, PreprocessSpec(size), architecture)
    network = OpenVinoBackend(Checkpoint(card, weights, ""), Precision.FLOAT32, threads=1)
    weights[MEAN] = network.maps(usual).mean(axis=0)
    if architecture.projection:
        shape = shapes(architecture, findings, size)[PROJECTION]
        weights[PROJECTION] = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return weights


def drawn_image(seed: int, height: int = 96, width: int = 80) -> npt.NDArray[np.uint8]:
    """A grey picture with some structure, uint8 (height, width); another for each seed."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(20, 235, (8, 8), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: npt.NDArray[np.generic], format: str = "PNG", **options: object) -> bytes:  # noqa: A002
    """A picture file's bytes of an array; of a PNG, which are written most, soon."""
    if format == "PNG":
        options = {"compress_level": 1, **options}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def dicom(pixels: npt.NDArray[np.generic], **fields: Any) -> bytes:
    """A DX object's bytes with these stored values (height, width); ``fields`` are set last.

    A field given as None is left out.
    """
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = fields.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    header.SOPClassUID = DigitalXRayImageStorageForPresentation
    header.SOPInstanceUID = "1.2.3.4"
    header.Modality = "DX"
    header.Rows, header.Columns = pixels.shape[:2]
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = pixels.dtype.itemsize * 8
    header.PixelRepresentation = int(pixels.dtype.kind == "i")
    header.PixelData = pixels.tobytes()
    for name, value in fields.items():
        if value is None:
            delattr(header, name)
        else:
            setattr(header, name, value)
    header.HighBit = header.BitsStored - 1
    return written(header)


def written(header: Dataset) -> bytes:
    """The bytes of a DICOM file."""
    file = io.BytesIO()
    header.save_as(file, enforce_file_format=True)
    return file.getvalue()


def compressed(data: bytes, syntax: int) -> bytes:
    """A DICOM object's bytes with its pixels compressed by GDCM (``gdcm.TransferSyntax.*``)."""
    import gdcm

    with TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "plain.dcm", Path(folder) / "packed.dcm"
        plain.write_bytes(data)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(plain))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(packed))
        assert writer.Write()
        return packed.read_bytes()


def encapsulated(
    pixels: npt.NDArray[np.generic], frame: bytes, syntax: str, **fields: Any
) -> bytes:
    """A DX object's bytes whose one frame is the given stream; the header describes ``pixels``."""
    header = dcmread(io.BytesIO(dicom(pixels, **fields)))
    header.file_meta.TransferSyntaxUID = UID(syntax)
    header.PixelData = encapsulate([frame])
    header["PixelData"].is_undefined_length = True
    return written(header)
