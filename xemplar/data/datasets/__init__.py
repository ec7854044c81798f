"""Data sets -> `Image` records: where each image lies, and what its label file says of it.

Four forms are recognised by what lies in the folder:

=================================  ==============================================================
``train.csv`` and/or ``valid.csv``  CheXpert (Irvin et al., AAAI 2019)
``Data_Entry_2017*.csv``            NIH ChestX-ray14 (Wang et al., CVPR 2017)
``labels.csv``                      file, patient_id, view, sex, age, findings ('|' between), split
none of them                        a plain folder of images without labels
=================================  ==============================================================

Any other table is read as a ``labels.csv`` once its columns are named.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xemplar.data.datasets.files import BESIDE, SUFFIXES, TABLES, Walked, walk
from xemplar.data.datasets.forms import COLUMNS, PATHOLOGIES, chexpert, labelled, nih
from xemplar.data.datasets.image import (
    TEST,
    TRAIN,
    VAL,
    Dataset,
    DatasetImage,
    some_of,
    source_names,
)
from xemplar.data.datasets.reading import NAME_COLUMNS, Reading
from xemplar.data.findings import UnknownFindings
from xemplar.data.words import check_word
from xemplar.errors import DatasetError

__all__ = [
    "COLUMNS",
    "PATHOLOGIES",
    "SUFFIXES",
    "TEST",
    "TRAIN",
    "VAL",
    "Dataset",
    "DatasetImage",
    "open_dataset",
    "source_names",
]

CHEXPERT, NIH, LABELS = ("train.csv", "valid.csv"), "Data_Entry_2017*.csv", "labels.csv"


def open_dataset(
    root: Path,
    name: str | None = None,
    *,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
    unknown_findings: UnknownFindings = UnknownFindings.REFUSE,
) -> Dataset:
    """Read a folder's label file, recognising its form. No image is opened.

    Args:
        root: the folder.
        name: of the data set; None for the folder's own name.
        table: label file to read as a ``labels.csv``; None for what the folder holds.
        columns: one of `COLUMNS` -> what the table calls it. Without ``table``, the folder's only
            CSV or TSV file is meant.
        unknown_findings: what becomes of names that are in no vocabulary.

    Raises:
        DatasetError: no such folder, no images in it, or a label file that cannot be used; naming
            file, line and reason.
        InvalidArgument: a name with control characters.
    """
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}")
    name = check_word(name or root.resolve().name, "the name of a data set (--source)")
    reading = Reading(root, name, unknown_findings, columns or {})
    walked = None
    if table is not None or columns:
        used = [_table(root, table)]
        wanted = ("file",) if columns else ("file", "findings")
        radiographs = list(labelled(used[0], reading, wanted))
    else:
        radiographs, used = _recognised(root, reading)
    if not used:
        walked = walk(root)
        radiographs = [DatasetImage(path=path, source=reading.source) for path in walked.images]
    reading.finish()
    if not radiographs:
        raise DatasetError(_no_images(root, used, walked))
    return Dataset(
        name=reading.source,
        root=root,
        images=tuple(radiographs),
        findings=tuple(
            sorted({finding for radiograph in radiographs for finding in radiograph.labels})
        ),
        digest=_digest(root, radiographs, used, [*(columns or {}).items(), unknown_findings]),
        skipped=walked.skipped if walked else {},
        notes=(*reading.notes, *_unread(root, used, walked, len(radiographs))),
    )


def _recognised(root: Path, reading: Reading) -> tuple[list[DatasetImage], list[Path]]:
    """The images of the folder's label files, and these; nothing where there are none."""
    found = sorted(root.glob(NIH))
    tables = [root / file for file in CHEXPERT if (root / file).is_file()]
    if (root / LABELS).is_file():
        return list(labelled(root / LABELS, reading, ("file", "findings"))), [root / LABELS]
    if found:
        return list(nih(found[0], reading)), found[:1]
    return [radiograph for file in tables for radiograph in chexpert(file, reading)], tables


def _table(root: Path, named: Path | None) -> Path:
    """The label file that was named, in the folder or elsewhere; else the folder's only table."""
    if named is not None:
        found = [path for path in (root / named, named) if path.is_file()]
        if not found:
            raise DatasetError(f"there is no table {named}, neither in {root} nor elsewhere")
        return found[0]
    tables = [path for path in _beside(root) if path.suffix.lower() in (".csv", ".tsv")]
    if len(tables) != 1:
        there = f": {some_of([path.name for path in tables])}" if tables else ""
        raise DatasetError(
            f"{root} holds {len(tables)} CSV or TSV files{there}; name one with --table"
        )
    return tables[0]


def _beside(root: Path) -> list[Path]:
    """Tables in the folder itself that may hold labels."""
    return sorted(
        path
        for path in root.iterdir()
        if path.suffix.lower() in TABLES
        and path.name not in BESIDE
        and not path.name.startswith(".")
        and path.is_file()
    )


def _unread(root: Path, used: Sequence[Path], walked: Walked | None, radiographs: int) -> list[str]:
    """Names the tables that were seen and not read."""
    seen = walked.tables if walked else _beside(root)
    names = [
        path.relative_to(root).as_posix()
        for path in seen
        if path not in used and path.name not in BESIDE
    ]
    if not names:
        return []
    unlabelled = f"; the {radiographs:,} image(s) of {root} have no labels" if walked else ""
    return [f"seen and not read: {some_of(names)}{unlabelled}; {NAME_COLUMNS}"]


def _no_images(root: Path, used: Iterable[Path], walked: Walked | None) -> str:
    if walked is None:
        return f"{' and '.join(map(str, used))}: no image is listed"
    skipped = ", ".join(f"{reason}: {n:,}" for reason, n in walked.skipped.items())
    return (
        f"{root} holds no label file and no image (PNG, JPEG, TIFF, DICOM)"
        f"{f', but {skipped}' if skipped else ''}; name the folder that contains labels.csv, "
        "Data_Entry_2017.csv, train.csv or images"
    )


def _digest(
    root: Path, radiographs: Iterable[DatasetImage], used: Iterable[Path], options: Sequence[object]
) -> str:
    hashed = hashlib.sha256()
    names = [
        radiograph.path.relative_to(root).as_posix().encode() + b"\n" for radiograph in radiographs
    ]
    for part in [file.read_bytes() for file in used] or names:
        hashed.update(part)
    if options != [UnknownFindings.REFUSE]:
        hashed.update(repr([str(option) for option in options]).encode())
    return hashed.hexdigest()
