"""Data sets -> `Film` records: where each film lies, and what its label file says of it.

Four forms are recognised by what lies in the folder:

=================================  ==============================================================
``train.csv`` and/or ``valid.csv``  CheXpert (Irvin et al., AAAI 2019)
``Data_Entry_2017*.csv``            NIH ChestX-ray14 (Wang et al., CVPR 2017)
``labels.csv``                      file, patient_id, view, sex, age, findings ('|' between), split
none of them                        a plain folder of films without labels
=================================  ==============================================================
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xemplar.errors import DatasetError
from xemplar.findings import CHEXPERT14, NIH14, NO_FINDING, Labels, canonical
from xemplar.rows import read_rows

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom"})

PATHOLOGIES = tuple(f for f in CHEXPERT14 if f not in (NO_FINDING, "Support Devices"))

TRAIN, VAL, TEST = "train", "val", "test"


@dataclass(frozen=True)
class Film:
    """One film of a data set, not yet read.

    Attributes:
        path: of the file.
        source: name of the data set.
        file: name within the data set, as its label file writes it; None in a plain folder, whose
            file names might say who the patient is.
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
        digest: sha256 of the label files (of the sorted names in a plain folder).
    """

    name: str
    root: Path
    films: tuple[Film, ...]
    findings: tuple[str, ...]
    digest: str


def open_dataset(root: Path, name: str | None = None) -> Dataset:
    """Read a folder's label file, recognising its form. No film is opened.

    Args:
        root: the folder.
        name: of the data set; None for the folder's own name.

    Raises:
        DatasetError: no such folder, no films in it, or a label file that cannot be used; naming
            file, line and reason.
    """
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}")
    name = name or root.resolve().name
    chexpert = [root / f for f in ("train.csv", "valid.csv") if (root / f).is_file()]
    nih = sorted(root.glob("Data_Entry_2017*.csv"))
    labels = root / "labels.csv"
    if labels.is_file():
        films, used = list(_labelled(labels, name)), [labels]
    elif nih:
        films, used = list(_nih(nih[0], name)), nih[:1]
    elif chexpert:
        films, used = [f for file in chexpert for f in _chexpert(file, name)], chexpert
    else:
        films, used = list(_plain(root, name)), []
    if not films:
        raise DatasetError(
            f"{root} holds no label file and no film ({', '.join(sorted(SUFFIXES))}); "
            "name the folder that contains labels.csv, Data_Entry_2017.csv, train.csv or films"
        )
    hashed = hashlib.sha256()
    names = [film.path.relative_to(root).as_posix().encode() + b"\n" for film in films]
    for part in [f.read_bytes() for f in used] or names:
        hashed.update(part)
    spoken = sorted({finding for film in films for finding in film.labels})
    return Dataset(name, root, tuple(films), tuple(spoken), hashed.hexdigest())


def source_names(roots: Sequence[Path], given: Sequence[str] = ()) -> list[str]:
    """What data sets that are used together are called: what is given, or their folders' names.

    Args:
        roots: their folders.
        given: a name for each of them, in their order, or nothing.

    Raises:
        DatasetError: too few or too many names, an empty one, or one for two folders: a patient's
            id means nothing outside its source, so patients of both would be taken for the same.
    """
    if given and len(given) != len(roots):
        raise DatasetError(
            f"{len(roots)} folder(s) and {len(given)} name(s); give --source once for each folder, "
            "in their order"
        )
    folders: dict[str, Path] = {}
    names = list(given) or [root.resolve().name for root in roots]
    for name, root in zip(names, roots, strict=True):
        if not name.strip():
            raise DatasetError(f"the data set in {root} needs a name; give it with --source")
        if folders.setdefault(name, root.resolve()) != root.resolve():
            raise DatasetError(
                f"{folders[name]} and {root.resolve()} would both be called {name!r}, and equal "
                "patient ids in them be taken for one patient; name them apart with --source, once "
                "for each folder, in their order"
            )
    return names


def _age(text: str, file: Path, line: int) -> int | None:
    """Years of an age such as '63', '063Y' or '63.0'; values over 120 are typing errors."""
    digits = text.upper().rstrip("Y")
    if not digits:
        return None
    try:
        years = int(float(digits))
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{file}, line {line}: age {text!r} is no number") from error
    return years if 0 <= years <= 120 else None


def _sex(text: str) -> str | None:
    return {"F": "F", "M": "M"}.get(text[:1].upper())


def _inside(root: Path, name: str, file: Path, line: int) -> Path:
    """The path of a named film, refused where it would leave the data set's folder."""
    path = root / name
    if path == root or Path(name).is_absolute() or ".." in Path(name).parts:
        raise DatasetError(f"{file}, line {line}: film {name!r} does not lie in the data set")
    return path


def _exhaustive(listed: Iterable[str], vocabulary: Iterable[str]) -> dict[str, int]:
    """Labels of a set whose readers looked for its whole vocabulary: what is not listed is 0."""
    present = {canonical(name) for name in listed} - {NO_FINDING, ""}
    return dict.fromkeys(vocabulary, 0) | dict.fromkeys(present, 1)


def _labelled(file: Path, source: str) -> Iterator[Film]:
    """The ``labels.csv`` form.

    Its readers are taken to have looked for the findings that the set mentions anywhere: a film
    that lists others has those absent. What the set never mentions is unknown, so "No Finding" in
    a set about pneumonia says nothing of a hernia. Names beyond NIH's 14 (Bacterial, Viral) are
    kept where they are listed and unknown elsewhere.
    """
    films = list(read_rows(file, ("file", "findings")))
    listed = [[canonical(f) for f in row["findings"].split("|") if f] for _, row in films]
    vocabulary = {f for names in listed for f in names} & set(NIH14)
    for (line, row), names in zip(films, listed, strict=True):
        yield Film(
            path=_inside(file.parent, row["file"], file, line),
            source=source,
            file=row["file"],
            patient=row.get("patient_id") or None,
            labels=_exhaustive(names, vocabulary) if names else {},
            view=row.get("view") or None,
            sex=_sex(row.get("sex", "")),
            age=_age(row.get("age", ""), file, line),
            split=row.get("split") or None,
        )


def _nih(file: Path, source: str) -> Iterator[Film]:
    """``Data_Entry_2017.csv``; films of a ``test_list.txt`` beside it are held out."""
    root = file.parent
    where = {path.name: path for path in root.rglob("*.png")}
    test = root / "test_list.txt"
    held_out = set(test.read_text().split()) if test.is_file() else set()
    columns = ("Image Index", "Finding Labels", "Patient ID", "View Position")
    for line, row in read_rows(file, columns):
        name = row["Image Index"]
        yield Film(
            path=where.get(name) or _inside(root, f"images/{name}", file, line),
            source=source,
            file=name,
            patient=row["Patient ID"] or None,
            labels=_exhaustive(row["Finding Labels"].split("|"), NIH14),
            view=row["View Position"] or None,
            sex=_sex(row.get("Patient Gender") or row.get("Patient Sex") or ""),
            age=_age(row.get("Patient Age", ""), file, line),
            split=TEST if name in held_out else None,
        )


def _chexpert(file: Path, source: str) -> Iterator[Film]:
    """``train.csv``/``valid.csv``: 1.0, 0.0, -1.0 or blank (not mentioned: unknown).

    By the labeller's definition "No Finding" excludes every pathology, so those are absent then.
    """
    for line, row in read_rows(
        file, ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT14)
    ):
        # paths begin with the name of the release, as CheXpert-v1.0-small/train/patient00001/...
        inside = Path(*Path(row["Path"]).parts[1:]).as_posix()
        patient = next((p for p in Path(inside).parts if p.startswith("patient")), None)
        labels = {canonical(f): _label(row[f], f, file, line) for f in CHEXPERT14 if row[f]}
        if labels.get(NO_FINDING) == 1:
            labels = dict.fromkeys(map(canonical, PATHOLOGIES), 0) | labels
        yield Film(
            path=_inside(file.parent, inside, file, line),
            source=source,
            file=inside,
            patient=patient,
            labels=labels,
            view=row["AP/PA"] or ("LL" if row["Frontal/Lateral"] == "Lateral" else "FRONTAL"),
            sex=_sex(row["Sex"]),
            age=_age(row["Age"], file, line),
            split=VAL if file.name == "valid.csv" else TRAIN,
        )


def _label(text: str, finding: str, file: Path, line: int) -> int:
    label = {"1": 1, "0": 0, "-1": -1}.get(text.removesuffix(".0"))
    if label is None:
        raise DatasetError(
            f"{file}, line {line}: label {text!r} of {finding!r} is none of 1, 0, -1 and blank"
        )
    return label


def _plain(root: Path, source: str) -> Iterator[Film]:
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield Film(path=path, source=source)
