"""`DatasetImage` and `Dataset`, and the names of data sets that are used together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xemplar.data.findings import Labels
from xemplar.data.outcomes import Outcome
from xemplar.errors import DatasetError
from xemplar.names import check_name

TRAIN, VAL, TEST = "train", "val", "test"

NAMED = 5
"""Maximum names listed in a note; the rest are counted."""


@dataclass(frozen=True)
class WrittenReport:
    """Text of a report in a label file, as it was written.

    Attributes:
        whole: text of all of it, with headings; empty if the sections are given.
        findings: text of this section.
        impression: likewise.
    """

    whole: str = ""
    findings: str = ""
    impression: str = ""


@dataclass(frozen=True)
class DatasetImage:
    """One image of a data set, not yet read.

    Attributes:
        path: path of the file.
        source: name of the data set.
        file: name within the data set, as in its label file (relative to its folder); None in a
            plain folder, whose file names may identify the patient.
        patient: the data set's own patient id, None if unknown. Stored only as a pseudonym.
        patients: name of the identity domain that gave the patient id, shared by data sets whose
            equal ids are one person; None for the data set's own, see `domain`.
        readings: column -> class that another reader gave the image (`xemplar.data.readings`).
        labels: finding -> 1 present, 0 absent, -1 uncertain; missing means unknown.
        view: one of `xemplar.views.VIEWS`; None if unknown.
        sex: "F", "M" or None.
        age: age in years, or None.
        split: "train", "val", "test" or another name used by the data set, or None.
        followup: number of the study among its patient's, ascending; None if unknown.
        day: days since the patient's first study; None if unknown.
        outcomes: verified outcomes; None if the data set has no column for them.
        report: as the label file gives it, or the file that holds it; None without one.
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
    patients: str | None = None
    readings: Mapping[str, str] = field(default_factory=dict)
    followup: int | None = None
    day: int | None = None
    outcomes: tuple[Outcome, ...] | None = None
    report: WrittenReport | Path | None = field(default=None, repr=False)

    @property
    def domain(self) -> str:
        """Identity domain within which equal patient ids are one person."""
        return self.patients or self.source

    @property
    def is_frontal(self) -> bool:
        """True for images known to be frontal (PA or AP, with any qualifier)."""
        return self.view is not None and self.view.upper().startswith(("PA", "AP", "FRONTAL"))


@dataclass(frozen=True)
class LabelTable:
    """A label table as it was read.

    Attributes:
        file: its path.
        encoding: Python's name of its encoding.
        delimiter: between its cells.
        columns: column of ours -> its name in the table's header.
        unused: other columns of the table.
    """

    file: Path
    encoding: str
    delimiter: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """The images of one folder.

    Attributes:
        name: name of the data set; the source of its images.
        root: the folder.
        images: in the order of the label file, or by name.
        findings: findings that occur in its labels, sorted.
        digest: sha256 of the label files (of the sorted names in a plain folder) and of any
            non-default options used to read them.
        skipped: reason -> number of files in a plain folder that are not images; empty with a label
            file.
        notes: sentences for the user: tables found but not read, images without labels, unknown
            findings kept or dropped.
        tables: label tables as they were read; empty for a plain folder.
    """

    name: str
    root: Path
    images: tuple[DatasetImage, ...]
    findings: tuple[str, ...]
    digest: str
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    tables: tuple[LabelTable, ...] = ()


def source_names(roots: Sequence[Path], given: Sequence[str] = ()) -> list[str]:
    """Name data sets that are used together: by the given names, or their folders' names.

    Args:
        roots: their folders.
        given: one name per folder, in the same order, or none.

    Raises:
        DatasetError: the wrong number of names, an empty name, or one name for two folders: patient
            ids are unique only within a source, so different patients would be merged.
        InvalidArgument: a name with control characters, see `xemplar.names`.
    """
    if given and len(given) != len(roots):
        raise DatasetError(
            f"{len(roots)} folder(s) and {len(given)} name(s); give --source once for each folder, "
            "in their order"
        )
    folders: dict[str, Path] = {}
    names = list(given) or [root.resolve().name for root in roots]
    for name, root in zip(names, roots, strict=True):
        check_name(name, "the name of a data set (--source)")
        if not name.strip():
            raise DatasetError(f"the data set in {root} needs a name; give it with --source")
        if folders.setdefault(name, root.resolve()) != root.resolve():
            raise DatasetError(
                f"{folders[name]} and {root.resolve()} would both be called {name!r}, and equal "
                "patient ids in them be taken for one patient; give them different names with "
                "--source, once for each folder, in their order"
            )
    return names


def identity_domains(roots: Sequence[Path], given: Sequence[str] = ()) -> list[str | None]:
    """Name the identity domains of data sets that are used together (docs/decisions/0034).

    Args:
        roots: their folders.
        given: one name per folder, in the same order, or none.

    Returns:
        One per folder; None for the data set's own.

    Raises:
        DatasetError: the wrong number of names, or an empty one.
        InvalidArgument: a name with control characters, see `xemplar.names`.
    """
    if not given:
        return [None] * len(roots)
    if len(given) != len(roots):
        raise DatasetError(
            f"{len(roots)} folder(s) and {len(given)} identity domain(s); give --patients once for "
            "each folder, in their order, its own name for one that shares no patients"
        )
    for name, root in zip(given, roots, strict=True):
        check_name(name, "the name of an identity domain (--patients)")
        if not name.strip():
            raise DatasetError(f"--patients gives {root} an empty name; leave it out, or name one")
    return list(given)


def some_of(names: list[str]) -> str:
    """List the first `NAMED` names and count the rest."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
