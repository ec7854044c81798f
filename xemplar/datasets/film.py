"""`Film` and `Dataset`, and the split of a film whose data set names none."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xemplar.findings import Labels

TRAIN, VAL, TEST = "train", "val", "test"

NAMED = 5
"""Files of a kind that a note names; it counts the others."""


@dataclass(frozen=True)
class Film:
    """One film of a data set, not yet read.

    Attributes:
        path: of the file.
        source: name of the data set.
        file: name within the data set, as its label file writes it (relative to its folder); None
            in a plain folder, whose file names might say who the patient is.
        patient: the data set's own patient id, None where unknown. Never stored as it is.
        labels: finding -> 1 present, 0 absent, -1 uncertain; missing means unknown.
        view: "PA", "AP", "LL", ...; None where unknown.
        sex: "F", "M" or None.
        age: in years, or None.
        split: "train", "val", "test" or another name that the data set gives, or None.
    """

    path: Path
    source: str
    file: str | None = None
    patient: str | None = None
    labels: Labels = field(default_factory=dict)
    view: str | None = None
    sex: str | None = None
    age: int | None = None
    split: str | None = None

    @property
    def frontal(self) -> bool:
        """Whether the film is known to be frontal (PA or AP, whatever the reader adds)."""
        return self.view is not None and self.view.upper().startswith(("PA", "AP", "FRONTAL"))


@dataclass(frozen=True)
class Dataset:
    """The films of one folder.

    Attributes:
        name: of the folder; it becomes the films' source.
        root: the folder.
        films: in the order of the label file, or by name.
        findings: the findings that its labels speak of, sorted.
        digest: sha256 of the label files (of the sorted names in a plain folder), and of the
            options that they were read with where these are not the usual ones.
        skipped: reason -> files of a plain folder that are no films; empty with a label file.
        notes: sentences that its user should read: tables that were seen and not read, images
            without labels, findings that were kept or dropped.
    """

    name: str
    root: Path
    films: tuple[Film, ...]
    findings: tuple[str, ...]
    digest: str
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def split_by_patient(film: Film, *, seed: int = 0, val: float = 0.1, test: float = 0.1) -> str:
    """The split of a film whose data set names none: by a hash of its patient.

    All films of a patient fall into one split, whatever else is in the data set. A film without a
    patient id counts as a patient of its own.
    """
    if film.split:
        return film.split
    place = patient_number(film, seed) / 2**32
    return TEST if place < test else VAL if place < test + val else TRAIN


def patient_number(film: Film, seed: int) -> int:
    """A number from 0 to 2**32 - 1, the same for all films of a patient: a hash.

    A film without a patient id counts as a patient of its own. Another seed gives other numbers.
    """
    key = f"{seed}:{film.source}:{film.patient or film.path.name}"
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)


def some_of(names: list[str]) -> str:
    """The first `NAMED` names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
