"""Label vocabularies, and what to do with labels that are uncertain or unknown.

An image's labels are a mapping finding -> 1 (present), 0 (absent) or -1 (uncertain).
A finding that is missing from the mapping is *unknown*: nobody looked, or nobody wrote it down.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from xemplar.data.spelling import nearest, spelling_key
from xemplar.errors import DatasetError, UnknownFinding

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Labels: TypeAlias = Mapping[str, int]

NO_FINDING = "No Finding"

NIH14 = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
"""The 14 findings of NIH ChestX-ray14 (Wang et al., CVPR 2017), spelt as there."""

CHEXPERT14 = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""The 14 observations of CheXpert (Irvin et al., AAAI 2019), spelt as in its CSV files."""

KERMANY2 = ("Bacterial", "Viral")
"""Kinds of pneumonia in the children's images of Kermany et al. (Cell 2018)."""

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "Infiltrate": "Infiltration",  # so NIH's file of boxes, against its own label file
        "No Findings": NO_FINDING,
        "Normal": NO_FINDING,
        "Oedema": "Edema",
        "Pleural Effusion": "Effusion",
        "Pulmonary Edema": "Edema",
        "Pulmonary Fibrosis": "Fibrosis",
        "Pulmonary Oedema": "Edema",
    }
)
"""Other names of the same finding -> the one name used here, so that several sets train one output.

Only names that mean the same; capitals, spaces, underscores and hyphens are the same anyway.
"""

_SPELLINGS = MappingProxyType(
    {spelling_key(name): name for name in (*NIH14, *CHEXPERT14, *KERMANY2)}
    | {spelling_key(written): name for written, name in SYNONYMS.items()}
)

VOCABULARY = frozenset(_SPELLINGS.values())
"""Findings that a label file, a case or a filter may always name."""


class UncertainPolicy(StrEnum):
    """What an uncertain label (-1) becomes in training."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    IGNORE = "ignore"


class UnknownFindings(StrEnum):
    """What becomes of a finding in a label file whose name is in no vocabulary."""

    REFUSE = "refuse"
    KEEP = "keep"
    DROP = "drop"


@lru_cache(4096)
def canonical(name: str) -> str:
    """The one spelling used here of a finding's name; of an unknown one, the name itself.

    Spellings are compared as `xemplar.data.spelling` says, and `SYNONYMS` are the same.
    """
    return _SPELLINGS.get(spelling_key(name), name.strip())


def known_finding(name: str, known: Collection[str], where: str = "known here") -> str:
    """The spelling of a finding among those that are known.

    Args:
        name: as a caller wrote it.
        known: the vocabulary, in its own spelling.
        where: who knows these, for the message.

    Raises:
        UnknownFinding: naming the value, the nearest known ones, and all that would be accepted.
    """
    wanted = canonical(name)
    if wanted in known:
        return wanted
    key = spelling_key(wanted)
    found = next((one for one in known if spelling_key(one) == key), None)
    if found is None:
        near = " or ".join(nearest_findings(name, known))
        raise UnknownFinding(
            f"unknown finding {name[:60]!r}{f', perhaps {near}' if near else ''}; "
            f"{where}: {', '.join(sorted(known))}"
        )
    return found


def nearest_findings(name: str, known: Collection[str] = VOCABULARY) -> tuple[str, ...]:
    """The known findings whose name, or a synonym of it, is most like a name; at most two."""
    spelt = [*known, *(written for written, one in SYNONYMS.items() if one in known)]
    return tuple(dict.fromkeys(map(canonical, nearest(name, spelt))))


def positives(labels: Labels) -> tuple[str, ...]:
    """Findings that are present, in alphabetical order; ``(NO_FINDING,)`` if all known are absent.

    Uncertain findings are not listed. An image of which nothing is known gives an empty tuple.
    """
    present = tuple(sorted(f for f, value in labels.items() if value == 1 and f != NO_FINDING))
    if present:
        return present
    return (NO_FINDING,) if labels and all(value == 0 for value in _pathology(labels)) else ()


def _pathology(labels: Labels) -> Iterable[int]:
    return (value for finding, value in labels.items() if finding != NO_FINDING)


def finding_index(findings: Sequence[str], name: str) -> int:
    """Place of a finding in a vocabulary.

    Raises:
        UnknownFinding: naming the value and all that would be accepted.
    """
    return findings.index(known_finding(name, findings, "this checkpoint knows"))


def targets(
    labels: Labels, findings: Sequence[str], policy: UncertainPolicy = UncertainPolicy.POSITIVE
) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]":
    """Training targets of one image.

    Args:
        labels: finding -> 1, 0 or -1; a finding not in it is unknown.
        findings: the vocabulary of the network's outputs, in their order.
        policy: what an uncertain label becomes.

    Returns:
        ``(target, known)``, both float32 (len(findings),): target in {0, 1}; known is 1 where the
        loss may look and 0 where the label is unknown (or uncertain under ``IGNORE``).

    Raises:
        DatasetError: a label is none of 1, 0, -1.
    """
    import numpy as np  # here alone: `xemplar.api` needs finding names and no numpy

    target = np.zeros(len(findings), np.float32)
    known = np.zeros(len(findings), np.float32)
    for place, finding in enumerate(findings):
        value = labels.get(finding)
        if value is None:
            continue
        if value not in (1, 0, -1):
            raise DatasetError(f"label {value!r} of {finding!r} is none of 1, 0, -1")
        if value == -1 and policy is UncertainPolicy.IGNORE:
            continue
        known[place] = 1.0
        target[place] = float(value == 1 or (value == -1 and policy is UncertainPolicy.POSITIVE))
    return target, known
