"""Radiographs as a modality sends them: CR and DX objects with a patient, a study and a series."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.uid import ComputedRadiographyImageStorage

from tests.images import dicom

IDENTITY = {
    "PatientName": "Planted^Patience",
    "PatientID": "PLANTED-4711",
    "IssuerOfPatientID": "PLANTED-ISSUER",
    "PatientBirthDate": "19560708",
    "PatientSex": "F",
    "StudyDate": "20240229",
    "StudyTime": "235958.5",
    "StudyID": "PLANTED-STUDY",
    "AccessionNumber": "PLANTED-ACC",
    "ReferringPhysicianName": "Planted^Physician",
    "StudyDescription": "PLANTED CHEST",
}
"""Patient and study as every object of the study has them."""

ELSEWHERE = {
    "OtherPatientNames": "Secret^Alias",
    "PatientAddress": "Secret Street 1",
    "PatientTelephoneNumbers": "555-SECRET",
    "PatientComments": "secret comment",
    "InstitutionName": "Secret Hospital",
    "OperatorsName": "Secret^Operator",
    "StationName": "SECRET1",
    "DeviceSerialNumber": "SECRET2",
    "RequestingPhysician": "Secret^Requester",
    "ImageComments": "secret remark",
    "ProtocolName": "secret protocol",
}
"""What a header says besides, and no result needs."""

STUDY, SERIES, INSTANCE = "1.2.826.0.1.3680043.9.1", "1.2.826.0.1.3680043.9.2", "2.25.3"


def film(pixels: npt.NDArray[np.generic], **fields: Any) -> bytes:
    """A DX object's file, with everything above; ``fields`` are set last, None leaves one out."""
    uids = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": INSTANCE}
    said = {**uids, **IDENTITY, **ELSEWHERE, **fields}
    return dicom(pixels, **{keyword: value for keyword, value in said.items() if value is not None})


def cr_film(pixels: npt.NDArray[np.generic], **fields: Any) -> bytes:
    """A CR object's file: 12 bits, inverted, without a spacing."""
    deep = (4095 - pixels.astype(np.uint16) * 16).astype(np.uint16)
    kind = {"SOPClassUID": ComputedRadiographyImageStorage, "Modality": "CR"}
    inverted = {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}
    return film(deep, **{**kind, **inverted, **fields})
