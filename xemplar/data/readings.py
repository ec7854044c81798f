"""Readings: classes that another reader gave an image, beside the labels of its data set.

A label mined from a report and a radiologist's own reading may contradict each other; `READINGS`
says which do. Another reader's column is an entry there, and a column of the label file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from xemplar.data.findings import NIH14, Labels

LIKE_PNEUMONIA = ("Consolidation", "Infiltration", "Pneumonia")
"""Opacities suggestive of pneumonia, in NIH's names."""

OPACITIES = ("Atelectasis", "Edema", "Mass", "Nodule", *LIKE_PNEUMONIA)
"""Findings below "Lung Opacity" in CheXpert's hierarchy (Irvin et al., AAAI 2019, figure 1)."""


@dataclass(frozen=True)
class Reading:
    """Findings that a reader's class excludes and requires.

    Attributes:
        excludes: findings that an image of this class does not show.
        requires: findings of which an image of this class shows at least one.
    """

    excludes: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()


READINGS: Mapping[str, Mapping[str, Reading]] = MappingProxyType(
    {
        # RSNA 2018 (Shih et al., Radiology: AI 2019): opacities suggestive of pneumonia
        "rsna_class": {
            "Normal": Reading(excludes=NIH14),
            "No Lung Opacity / Not Normal": Reading(excludes=LIKE_PNEUMONIA),
            "Lung Opacity": Reading(requires=OPACITIES),
        },
        # adjudicated labels (Majkowska et al., Radiology 2020)
        "google_pneumothorax": {
            "YES": Reading(requires=("Pneumothorax",)),
            "NO": Reading(excludes=("Pneumothorax",)),
        },
        "google_airspace_opacity": {
            "YES": Reading(requires=OPACITIES),
            "NO": Reading(excludes=LIKE_PNEUMONIA),
        },
        "google_nodule_or_mass": {
            "YES": Reading(requires=("Mass", "Nodule")),
            "NO": Reading(excludes=("Mass", "Nodule")),
        },
    }
)
"""Column of a label file -> class -> what it says of findings."""


def contradicted(labels: Labels, column: str, name: str) -> frozenset[str]:
    """Find the labels of an image that a reading contradicts.

    Args:
        labels: finding -> 1, 0 or -1; missing findings are unknown and contradict nothing.
        column: of `READINGS`.
        name: the reader's class in that column.

    Returns:
        Findings that are labelled present and excluded; and, where none of the required ones is
        present or uncertain, those of them that are labelled absent.
    """
    reading = READINGS[column][name]
    found = {finding for finding in reading.excludes if labels.get(finding) == 1}
    if not any(labels.get(finding) in (1, -1) for finding in reading.requires):
        found |= {finding for finding in reading.requires if labels.get(finding) == 0}
    return frozenset(found)
