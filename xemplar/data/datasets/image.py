"""`Image` and `Dataset`, and what data sets that are used together are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xemplar.data.findings import Labels
from xemplar.data.words import check_word
from xemplar.errors import DatasetError

TRAIN, VAL, TEST = "train", "val", "test"

NAMED = 5
"""Files of a kind that a note names; it counts the others."""


@dataclass(frozen=True)
class DatasetImage:
    """One image of a data set, not yet read.

    Attributes:
        path: of the file.
        source: name of the data set.
        file: name within the data set, as its label file writes it (relative to its folder); None
            in a plain folder, whose file names might say who the patient is.
        patient: the data set's own patient id, None where unknown. Never stored as it is.
        labels: finding -> 1 present, 0 absent, -1 uncertain; missing means unknown.
        view: one of `xemplar.data.views.VIEWS`; None where unknown.
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
        """Whether the image is known to be frontal (PA or AP, whatever the reader adds)."""
        return self.view is not None and self.view.upper().startswith(("PA", "AP", "FRONTAL"))


@dataclass(frozen=True)
class Dataset:
    """The images of one folder.

    Attributes:
        name: of the folder; it becomes the images' source.
        root: the folder.
        images: in the order of the label file, or by name.
        findings: the findings that its labels speak of, sorted.
        digest: sha256 of the label files (of the sorted names in a plain folder), and of the
            options that they were read with where these are not the usual ones.
        skipped: reason -> files of a plain folder that are no images; empty with a label file.
        notes: sentences that its user should read: tables that were seen and not read, images
            without labels, findings that were kept or dropped.
    """

    name: str
    root: Path
    images: tuple[DatasetImage, ...]
    findings: tuple[str, ...]
    digest: str
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def source_names(roots: Sequence[Path], given: Sequence[str] = ()) -> list[str]:
    """What data sets that are used together are called: what is given, or their folders' names.

    Args:
        roots: their folders.
        given: a name for each of them, in their order, or nothing.

    Raises:
        DatasetError: too few or too many names, an empty one, or one for two folders: a patient's
            id means nothing outside its source, so patients of both would be taken for the same.
        InvalidArgument: a name that no data set may have, see `xemplar.data.words`.
    """
    if given and len(given) != len(roots):
        raise DatasetError(
            f"{len(roots)} folder(s) and {len(given)} name(s); give --source once for each folder, "
            "in their order"
        )
    folders: dict[str, Path] = {}
    names = list(given) or [root.resolve().name for root in roots]
    for name, root in zip(names, roots, strict=True):
        check_word(name, "the name of a data set (--source)")
        if not name.strip():
            raise DatasetError(f"the data set in {root} needs a name; give it with --source")
        if folders.setdefault(name, root.resolve()) != root.resolve():
            raise DatasetError(
                f"{folders[name]} and {root.resolve()} would both be called {name!r}, and equal "
                "patient ids in them be taken for one patient; name them apart with --source, once "
                "for each folder, in their order"
            )
    return names


def some_of(names: list[str]) -> str:
    """The first `NAMED` names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
