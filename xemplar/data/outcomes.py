"""Verified outcomes of a study, and when they and the study were, in days alone.

Diagnoses and kinds of proof are closed lists: free text could name a patient, and could not be
counted. Dates are relative to the study, as a date itself could identify (docs/decisions/0052).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from xemplar.errors import InvalidArgument
from xemplar.names import nearest, spelling_key

MAX_DAYS = 120 * 366
"""Most days between a study and another study or an outcome: no patient is older."""

MAX_FOLLOWUP = 9999
MAX_OUTCOMES = 10
"""Outcomes of one case."""


class Diagnosis(StrEnum):
    """Diagnosis that a study's findings turned out to be."""

    NO_DISEASE = "No Disease"
    ABSCESS = "Lung Abscess"
    AORTIC = "Aortic Disease"
    ARDS = "ARDS"
    ASPIRATION = "Aspiration"
    ASTHMA = "Asthma"
    BENIGN_TUMOUR = "Benign Tumour"
    BRONCHIECTASIS = "Bronchiectasis"
    BRONCHITIS = "Bronchitis"
    CONGENITAL_HEART_DISEASE = "Congenital Heart Disease"
    COPD = "COPD"
    COVID_19 = "COVID-19"
    CYSTIC_FIBROSIS = "Cystic Fibrosis"
    EMPYEMA = "Empyema"
    FRACTURE = "Fracture"
    HEART_FAILURE = "Heart Failure"
    HIATAL_HERNIA = "Hiatal Hernia"
    INTERSTITIAL_LUNG_DISEASE = "Interstitial Lung Disease"
    LUNG_CANCER = "Lung Cancer"
    LUNG_METASTASES = "Lung Metastases"
    LYMPHOMA = "Lymphoma"
    MESOTHELIOMA = "Mesothelioma"
    PERICARDIAL_EFFUSION = "Pericardial Effusion"
    PLEURAL_EFFUSION = "Pleural Effusion"
    PNEUMONIA = "Pneumonia"
    PNEUMOTHORAX = "Pneumothorax"
    PULMONARY_EMBOLISM = "Pulmonary Embolism"
    PULMONARY_HYPERTENSION = "Pulmonary Hypertension"
    SARCOIDOSIS = "Sarcoidosis"
    TUBERCULOSIS = "Tuberculosis"
    OTHER = "Other Disease"

    @classmethod
    def read(cls, text: str) -> Self:
        """Find a diagnosis by its name, in any spelling, or a synonym.

        Raises:
            InvalidArgument: it is none; names the nearest one, and all.
        """
        return cls(_known(text, "outcome", tuple(cls), _SYNONYMS))


class Proof(StrEnum):
    """Kind of proof of an outcome: its reference standard."""

    BIOPSY = "biopsy"
    SURGERY = "surgery"
    AUTOPSY = "autopsy"
    CT = "CT"
    LABORATORY = "laboratory"
    FOLLOW_UP = "follow-up"
    DISCHARGE = "discharge"

    @classmethod
    def read(cls, text: str) -> Self:
        """Find a kind of proof by its name, in any spelling.

        Raises:
            InvalidArgument: it is none; names the nearest one, and all.
        """
        return cls(_known(text, "proof", tuple(cls), {}))


_SYNONYMS = MappingProxyType(
    {
        "Normal": Diagnosis.NO_DISEASE,
        "Healthy": Diagnosis.NO_DISEASE,
        "Benign Nodule": Diagnosis.BENIGN_TUMOUR,
        "Benign Tumor": Diagnosis.BENIGN_TUMOUR,
        "Congestive Heart Failure": Diagnosis.HEART_FAILURE,
        "ILD": Diagnosis.INTERSTITIAL_LUNG_DISEASE,
        "Lung Metastasis": Diagnosis.LUNG_METASTASES,
        "Other": Diagnosis.OTHER,
        "TB": Diagnosis.TUBERCULOSIS,
    }
)


@dataclass(frozen=True)
class Outcome:
    """Verified diagnosis of a study.

    Attributes:
        diagnosis: of the closed list.
        proof: how it was verified.
        days: from the study to the proof, negative for an earlier proof; None if not known.
    """

    diagnosis: Diagnosis
    proof: Proof
    days: int | None = None


def check_times(age: int | None, day: int | None, outcomes: Sequence[Outcome]) -> None:
    """Refuse days before the patient's birth, and a diagnosis that is named twice.

    Args:
        age: of the patient at the study, in whole years; None if not known.
        day: of the study, counted from the patient's first.
        outcomes: of the study.

    Raises:
        InvalidArgument: says which value cannot be.
    """
    most = MAX_DAYS if age is None else (age + 1) * 366
    if day is not None and day > most:
        raise InvalidArgument(
            f"day is {day:,}: a patient who is {age} at this study was not born at the first; "
            "day counts the days since the patient's first study"
        )
    for one in outcomes:
        if one.days is not None and one.days < -most:
            raise InvalidArgument(
                f"the outcome {one.diagnosis} was proven {-one.days:,} days before the study, "
                f"before the birth of a patient who is {age} at the study"
            )
    named = [one.diagnosis for one in outcomes]
    twice = next((one for one in named if named.count(one) > 1), None)
    if twice is not None:
        raise InvalidArgument(
            f"the outcome {twice} is named twice; name it once, with its best proof"
        )
    if Diagnosis.NO_DISEASE in named and len(named) > 1:
        raise InvalidArgument(f"{Diagnosis.NO_DISEASE} stands beside another outcome; name one")


def _known(text: str, what: str, known: Sequence[str], synonyms: Mapping[str, str]) -> str:
    key = spelling_key(text)
    for name, meant in (*((one, one) for one in known), *synonyms.items()):
        if spelling_key(name) == key:
            return meant
    near = nearest(text, known, 1)
    raise InvalidArgument(
        f"unknown {what} {text[:60]!r}{f', perhaps {near[0]}' if near else ''}; known are: "
        f"{', '.join(known)}"
    )
