"""Label vocabularies, and policies for uncertain and unknown labels.

An image's labels are a mapping finding -> 1 (present), 0 (absent) or -1 (uncertain).
A finding missing from the mapping is *unknown*: not assessed, or not recorded.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from xemplar.data.translations import TRANSLATIONS
from xemplar.errors import DatasetError, UnknownFinding
from xemplar.names import nearest, spelling_key

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
"""The 14 findings of NIH ChestX-ray14 (Wang et al., CVPR 2017), in their original spelling."""

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
"""Types of pneumonia in the paediatric images of Kermany et al. (Cell 2018)."""

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "Infiltrate": "Infiltration",  # in NIH's box file, unlike its label file
        "No Findings": NO_FINDING,
        "Normal": NO_FINDING,
        "Oedema": "Edema",
        "Pleural Effusion": "Effusion",
        "Pulmonary Edema": "Edema",
        "Pulmonary Fibrosis": "Fibrosis",
        "Pulmonary Oedema": "Edema",
    }
)
"""Synonyms of a finding -> its canonical name, so that several data sets train one output.

Contains only true synonyms; spellings are compared leniently anyway (`xemplar.names`).
"""

_SPELLINGS = MappingProxyType(
    {spelling_key(name): name for name in (*NIH14, *CHEXPERT14, *KERMANY2)}
    | {spelling_key(written): name for written, name in SYNONYMS.items()}
    | {spelling_key(word): name for name, words in TRANSLATIONS.items() for word in words}
)

VOCABULARY = frozenset(_SPELLINGS.values())
"""Findings that are valid in every label file, case and filter."""


class UncertainPolicy(StrEnum):
    """Training target of an uncertain label (-1)."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    IGNORE = "ignore"


class UnknownFindings(StrEnum):
    """Policy for findings in a label file that are not in the vocabulary."""

    REFUSE = "refuse"
    KEEP = "keep"
    DROP = "drop"


@lru_cache(4096)
def canonical(name: str) -> str:
    """Return the canonical name of a finding; an unknown name is returned unchanged.

    Spellings are compared leniently (`xemplar.names`); `SYNONYMS` and names in other languages
    (`xemplar.data.translations`) are resolved.
    """
    return _SPELLINGS.get(spelling_key(name), name.strip())


def known_finding(name: str, known: Collection[str], where: str = "known here") -> str:
    """Resolve a finding's name to its spelling in a vocabulary.

    Args:
        name: as the caller wrote it.
        known: the vocabulary, in its own spelling.
        where: description of the vocabulary, for the message.

    Raises:
        UnknownFinding: the message states the value, the nearest known names, and the vocabulary.
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
    """Find up to two known findings with the names (in any language) most similar to a name."""
    spelt = [*known, *(written for written, one in SYNONYMS.items() if one in known)]
    spelt += [word for one, words in TRANSLATIONS.items() if one in known for word in words]
    return tuple(dict.fromkeys(map(canonical, nearest(name, spelt))))


def positives(labels: Labels) -> tuple[str, ...]:
    """List the present findings, alphabetically; ``(NO_FINDING,)`` if all known ones are absent.

    Omits uncertain findings. Without any known label, the tuple is empty.
    """
    present = tuple(sorted(f for f, value in labels.items() if value == 1 and f != NO_FINDING))
    if present:
        return present
    return (NO_FINDING,) if labels and all(value == 0 for value in _pathology(labels)) else ()


def _pathology(labels: Labels) -> Iterable[int]:
    return (value for finding, value in labels.items() if finding != NO_FINDING)


def finding_index(findings: Sequence[str], name: str) -> int:
    """Find the index of a finding among a checkpoint's outputs.

    Raises:
        UnknownFinding: see `known_finding`.
    """
    return findings.index(known_finding(name, findings, "this checkpoint knows"))


def targets(
    labels: Labels, findings: Sequence[str], policy: UncertainPolicy = UncertainPolicy.POSITIVE
) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]":
    """Training targets of one image.

    Args:
        labels: finding -> 1, 0 or -1; missing findings are unknown.
        findings: the network's outputs, in order.
        policy: treatment of uncertain labels.

    Returns:
        ``(target, known)``, both float32 (len(findings),): target in {0, 1}; known is 1 where the
        loss applies and 0 where the label is unknown (or uncertain under ``IGNORE``).

    Raises:
        DatasetError: a label is none of 1, 0, -1.
    """
    import numpy as np  # here alone: `xemplar.api` needs finding names and no numpy

    target = np.zeros(len(findings), np.float32)
    known = np.zeros(len(findings), np.float32)
    for index, finding in enumerate(findings):
        value = labels.get(finding)
        if value is None:
            continue
        if value not in (1, 0, -1):
            raise DatasetError(f"label {value!r} of {finding!r} is none of 1, 0, -1")
        if value == -1 and policy is UncertainPolicy.IGNORE:
            continue
        known[index] = 1.0
        target[index] = float(value == 1 or (value == -1 and policy is UncertainPolicy.POSITIVE))
    return target, known
