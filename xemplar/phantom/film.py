"""`film`: a phantom as a DX object, as a modality sends one."""

from io import BytesIO
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from xemplar.phantom.radiograph import Phantom

if TYPE_CHECKING:
    from pydicom import Dataset

DATE = "20260101"
"""StudyDate of every phantom."""


def film(image: Phantom) -> bytes:
    """Write a phantom as a Digital X-Ray image for presentation (PS3.3 A.26).

    Its UIDs follow from seed and size, so the same phantom is the same object.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = DigitalXRayImageStorageForPresentation
    _identify(header, image)
    header.Modality, header.PresentationIntentType = "DX", "FOR PRESENTATION"
    header.BodyPartExamined, header.ViewPosition = "CHEST", image.view
    header.BurnedInAnnotation = "NO"
    header.Rows, header.Columns = image.pixels.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.PixelData = image.pixels.tobytes()
    file = BytesIO()
    header.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _identify(header: "Dataset", image: Phantom) -> None:
    """Name the phantom as a patient with one study."""
    named = f"xemplar phantom {image.seed} {image.pixels.shape}"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        # UIDs that are derived from a UUID (PS3.5 B.2)
        setattr(header, keyword, f"2.25.{uuid5(NAMESPACE_OID, f'{named} {keyword}').int}")
    header.PatientName, header.PatientID = f"Phantom^{image.seed}", f"PHANTOM-{image.seed}"
    header.PatientBirthDate, header.PatientSex = "", image.sex
    header.PatientAge = f"{image.age:03}Y"
    header.StudyDate, header.StudyTime = DATE, "120000"
    header.StudyID, header.AccessionNumber = str(image.seed), ""
    header.ReferringPhysicianName, header.StudyDescription = "", "Chest (phantom)"
    header.SeriesNumber, header.InstanceNumber = 1, 1
