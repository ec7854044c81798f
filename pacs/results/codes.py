"""Coded concepts: DICOM's own where PS3.16 has one, else of the private scheme `SCHEME`.

SNOMED CT codes are only those that PS3.16 lists, which are free to use in DICOM objects; a finding
without one has a code of this software, whose value is the finding's name.
"""

import re

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

SCHEME = "99XEMPLAR"
"""Designator of the private coding scheme; 99 begins those of no registry (PS3.16 8.2)."""

MEANING = 64
"""Most characters of a code's meaning (VR LO)."""

FINDINGS = {
    "Cardiomegaly": codes.SCT.Cardiomegaly,
    "Edema": codes.SCT.PulmonaryEdema,
    "Effusion": codes.SCT.PleuralEffusion,
    "Fibrosis": codes.SCT.Fibrosis,
    "Infiltration": codes.DCM.Infiltrate,
    "Mass": codes.SCT.Mass,
    "Nodule": codes.SCT.Nodule,
    "Pneumothorax": codes.SCT.Pneumothorax,
}
"""Canonical findings (`xemplar.data.findings`) that PS3.16 has a code for."""

YES, NO = codes.SCT.Yes, codes.SCT.No

PROBABILITY = codes.DCM.Probability

RATIO = codes.UCUM.NoUnits


def private_concept(value: str, meaning: str) -> CodedConcept:
    """Return a concept of the private scheme."""
    return CodedConcept(value=value, scheme_designator=SCHEME, meaning=meaning[:MEANING])


BASE_RATE = private_concept("BASE_RATE", "Share of the calibration's images with the finding")
THRESHOLD = private_concept("THRESHOLD", "Probability from which on the finding is called")
ASSESSED = private_concept("ASSESSED", "Finding that the network assessed")
CALLED = private_concept("CALLED", "Called present by the network")
SIMILARITY = private_concept("SIMILARITY", "Cosine similarity of the embeddings")
CHANCE = private_concept("CHANCE", "Chance of a shared finding at this similarity")
LABEL = private_concept("LABEL", "Finding of the case by its label file")
QUERY_FINDING = private_concept("FINDING", "Finding predicted by the network")
SIMILAR_CASE = private_concept("SIMILAR_CASE", "Similar past case")
COUNTER_EXAMPLE = private_concept("COUNTER_EXAMPLE", "Similar past case without the finding")


def finding_code(finding: str) -> CodedConcept:
    """Return the code of a finding; one of the private scheme where PS3.16 has none."""
    known = FINDINGS.get(finding)
    if known is not None:
        return CodedConcept.from_code(known)
    value = re.sub(r"[\\\s]+", "_", finding.strip())[:MEANING]
    return private_concept(value, re.sub(r"[\\\s_]+", " ", finding.strip()))


def coding_scheme() -> CodingSchemeIdentificationItem:
    """Describe the private scheme for readers of an object (PS3.3 C.12.1.1.1)."""
    return CodingSchemeIdentificationItem(
        designator=SCHEME,
        name="xemplar",
        responsible_organization="xemplar",
    )
