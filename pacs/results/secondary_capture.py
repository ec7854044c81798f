"""An answer's picture as a Secondary Capture in colour (PS3.3 A.8.1), which every PACS shows."""

from typing import Any

from highdicom import PhotometricInterpretationValues
from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

import xemplar
from xemplar.archive.media import Media
from xemplar.retrieval.result import Answer
from xemplar.retrieval.snapshot import Snapshot

from .picture import answer_picture
from .source import SourceImage
from .uids import result_uid

KIND = "secondary capture"
SERIES = 9901
"""Number of the series: behind those of modalities in a viewer's list."""

DESCRIPTION = "xemplar: similar cases. Research use, not for diagnosis"

LOSSY = "01"
"""LossyImageCompression: the stored pictures of past cases are JPEG."""


def secondary_capture(source: SourceImage, live: Snapshot, media: Media, answer: Answer) -> Dataset:
    """Make the Secondary Capture of an answer, uncompressed RGB.

    Args:
        source: header of the image that was asked about.
        live: the snapshot that gave the answer.
        media: the stored images of its cases.
        answer: to show.
    """
    header = source.header
    capture = SCImage(
        pixel_array=answer_picture(live, media, answer),
        photometric_interpretation=PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        series_instance_uid=result_uid(source, answer, f"{KIND} series"),
        series_number=SERIES,
        sop_instance_uid=result_uid(source, answer, KIND),
        instance_number=1,
        manufacturer="xemplar",
        manufacturer_model_name="xemplar",
        software_versions=xemplar.__version__,
        series_description=DESCRIPTION,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **_study(header),
    )
    for keyword in ("PatientOrientation", "Laterality"):  # a page of several images has none
        setattr(capture, keyword, None)
    capture.ConversionType = "WSD"
    capture.LossyImageCompression = LOSSY
    if "BurnedInAnnotation" in header:
        capture.BurnedInAnnotation = header.BurnedInAnnotation
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = [
        _code_item(codes.DCM.SourceImageForImageProcessingOperation)
    ]
    capture.SourceImageSequence = [reference]
    capture.DerivationDescription = "Query image with Grad-CAM, and similar past cases"
    return capture


def _study(header: Dataset) -> dict[str, Any]:
    """Take patient and study from the header, as highdicom's argument names."""
    return {
        "study_instance_uid": str(header.StudyInstanceUID),
        "patient_id": header.PatientID,
        "patient_name": header.PatientName,
        "patient_birth_date": header.PatientBirthDate or None,
        "patient_sex": header.PatientSex,
        "accession_number": header.AccessionNumber,
        "study_id": header.StudyID,
        "study_date": header.StudyDate or None,
        "study_time": header.StudyTime or None,
        "referring_physician_name": header.ReferringPhysicianName,
    }


def _code_item(code: Any) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
