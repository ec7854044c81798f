"""A DICOM object that tells who the patient is goes through everything, and nothing of it stays."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from xemplar_app.main import create_app
from xemplar_app.opening import open_retriever
from xemplar_app.settings import ServiceSettings

from tests.images import dicom, drawn_image
from tests.stores import small_store
from xemplar.model.encoder import Precision

TEXT = [
    "PatientName",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientID",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "CountryOfResidence",
    "RegionOfResidence",
    "EthnicGroup",
    "Occupation",
    "PatientReligiousPreference",
    "PatientComments",
    "MilitaryRank",
    "BranchOfService",
    "ResponsiblePerson",
    "ResponsibleOrganization",
    "AdditionalPatientHistory",
    "Allergies",
    "MedicalAlerts",
    "InsurancePlanIdentification",
    "AccessionNumber",
    "StudyID",
    "AdmissionID",
    "IssuerOfPatientID",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "ReferringPhysicianName",
    "ReferringPhysicianAddress",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
    "RequestingPhysician",
    "RequestingService",
    "ScheduledPerformingPhysicianName",
    "StationName",
    "DeviceSerialNumber",
    "ProtocolName",
    "StudyDescription",
    "SeriesDescription",
    "ImageComments",
    "PerformedProcedureStepDescription",
    "PerformedProcedureStepID",
    "RequestedProcedureDescription",
    "CurrentPatientLocation",
    "PatientState",
    "ReasonForStudy",
    "VisitComments",
]
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")


def identity() -> dict[str, str]:
    """Fifty and more attributes, each with a value that occurs nowhere else."""
    text = {name: f"QX{n:02d}{name[::-1][:9]}"[:16] for n, name in enumerate(TEXT)}
    return text | {name: f"1.2.826.77.{n}.4711" for n, name in enumerate(UIDS)}


def traces(content: bytes) -> list[str]:
    folded = content.lower()
    return [name for name, value in identity().items() if value.lower().encode() in folded]


@pytest.fixture
def settings(tmp_path: Path, tiny_checkpoint: Path) -> ServiceSettings:
    small = small_store(tmp_path, tiny_checkpoint)
    return ServiceSettings(
        store=small.store.root, checkpoint=small.checkpoint, precision=Precision.FLOAT32
    )


def test_no_value_of_fifty_identifying_attributes_is_found_anywhere(
    settings: ServiceSettings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(identity()) >= 50
    image = dicom(drawn_image(99, 300, 260), **identity())
    assert len(traces(image)) == len(identity())  # they are in what is sent
    said: list[bytes] = []

    def keep(answer: Any) -> Any:
        said.append(answer.content + json.dumps(dict(answer.headers)).encode())
        return answer

    with TestClient(create_app(settings, open_retriever(settings))) as client, caplog.at_level(0):
        upload = {"image": ("QX00emaNtneit.dcm", image)}
        answer = keep(client.post("/query", files=upload, params={"include": "overlays"}))
        assert answer.status_code == 200
        keep(client.get(answer.json()["image_url"]))
        patient = identity()["PatientID"]
        made = keep(client.post("/cases", files=upload, data={"source": "a", "patient": patient}))
        assert made.status_code == 201
        case = made.json()["case_id"]
        for address in (f"/cases/{case}", f"/cases/{case}/image", "/cases", "/audit", "/metrics"):
            assert keep(client.get(address)).status_code == 200
        keep(client.get(f"/cases/{case}/similar"))
        broken = {"image": ("image.dcm", image[: len(image) // 2])}
        assert keep(client.post("/query", files=broken)).status_code == 400
    assert [traces(one) for one in said if traces(one)] == []
    written = capfd.readouterr()
    assert traces((caplog.text + written.out + written.err).encode()) == []
    for file in settings.store.rglob("*"):
        if file.is_file():
            assert traces(file.read_bytes()) == [], file.name
