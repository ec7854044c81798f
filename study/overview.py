"""An inspection in words and tables, for the terminal and the page alike. Names no image file."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from xemplar.data.csv_table import WORKBOOK
from xemplar.data.datasets.records import some_of
from xemplar.data.workbook import OTHER_WORKBOOKS

from .inspection import Folder, Inspection

MOST_SIZES = 5
"""Sizes of images that are listed; the others are counted."""

UNKNOWN = "unknown"

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Part:
    """A part of an overview.

    Attributes:
        title: heading.
        sentences: what is to be known; the most important first.
        columns: headings of the table; empty for none.
        rows: its cells, as text.
        alarming: whether something is wrong that spoils an index or an evaluation.
        details: sentences for the terminal alone, as they may quote a table.
    """

    title: str
    sentences: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    alarming: bool = False
    details: tuple[str, ...] = ()


def overview(seen: Inspection) -> list[Part]:
    """Describe an inspection, in the order of reading."""
    parts = [_table(folder) for folder in seen.folders]
    parts += [_files(seen), _people(seen), _splits(seen), _labels(seen), _copies(seen)]
    return [part for part in parts if part.sentences or part.rows]


def _table(folder: Folder) -> Part:
    """Say which table is read and how, or why none is."""
    dataset, sentences = folder.dataset, list[str]()
    rows, details = list[tuple[str, ...]](), [folder.refusal, *folder.faults]
    if folder.refusal:
        sentences.append("Not readable as it is.")
    if dataset is not None and folder.suggestion is None:
        for table in dataset.tables:
            cells = f"{table.encoding}, {DELIMITERS[table.delimiter]} between cells"
            kind = "a workbook" if table.encoding == WORKBOOK else cells
            sentences.append(f"{table.file.name} is read: {kind}.")
            rows += [(ours, theirs) for ours, theirs in table.columns.items()]
            if table.unused:
                sentences.append(f"Columns not read: {some_of(list(map(repr, table.unused)))}.")
        if not dataset.tables:
            sentences.append("No table is read: images have no labels, patients or splits.")
        sentences += [f"{note[:1].upper()}{note[1:]}." for note in dataset.notes]
    workbooks = [t.name for t in folder.contents.tables if t.suffix.lower() in OTHER_WORKBOOKS]
    if workbooks and not rows:
        sentences.append(f"{some_of(workbooks)}: save it as .xlsx or CSV to have it read.")
    if (suggestion := folder.suggestion) is not None:
        mapping = suggestion.mapping
        sentences.append(
            f"No table is read yet. {mapping.table} can be; `--fix-columns` writes how:"
        )
        if dataset is not None and dataset.tables:
            sentences.append("What follows counts it as if it were read so already.")
        rows = [(ours, theirs) for ours, theirs in mapping.columns.items()]
        sentences += [f"Note: {doubt}." for doubt in suggestion.doubts]
        details += [
            f"Unknown finding {name!r}{f'; nearest: {near}' if near else ''}."
            for name, near in list(suggestion.similar.items())[:MOST_SIZES]
        ]
    return Part(
        f"Table of {folder.root.resolve().name}",
        tuple(sentences),
        ("column", "in the table") if rows else (),
        tuple(rows),
        alarming=bool(folder.refusal),
        details=tuple(filter(None, details)),
    )


def _files(seen: Inspection) -> Part:
    formats = Counter(one.format for one in seen.facts)
    sizes = Counter(one.size for one in seen.facts if one.size)
    dicom = {one.path for one in seen.facts if one.format == "DICOM"}
    sizes += Counter(one.size for one in seen.pictures if seen.images[one.index].path in dicom)
    rows = [("format", name, f"{count:,}") for name, count in formats.most_common()]
    rows += [
        ("size", f"{width} x {height}", f"{count:,}")
        for (width, height), count in sizes.most_common(MOST_SIZES)
    ]
    if len(sizes) > MOST_SIZES:
        rest = sum(sorted(sizes.values())[:-MOST_SIZES])
        rows.append(("size", f"{len(sizes) - MOST_SIZES:,} others", f"{rest:,}"))
    read = {one.path for one in seen.facts}
    unlisted = sum(
        path not in read
        for folder in seen.folders
        if folder.dataset and folder.dataset.tables
        for path in folder.contents.images
    )
    skipped = sum((Counter(folder.contents.skipped) for folder in seen.folders), Counter[str]())
    sentences = [f"{len(seen.facts):,} image files."]
    reasons = Counter(reason for _, reason in seen.unreadable)
    if reasons:
        told = "; ".join(f"{reason[:120]}: {n:,}" for reason, n in reasons.most_common(MOST_SIZES))
        sentences.append(f"{reasons.total():,} cannot be read ({told}).")
    if seen.asked < len(seen.facts):
        sentences.append(
            f"{seen.asked:,} of them were decoded, evenly spread; the others were not looked at "
            "for damage and near-duplicates (--pictures decodes more)."
        )
    if unlisted:
        sentences.append(f"{unlisted:,} images lie in the folder and are in no table.")
    stems = Counter((path.parent.name, path.stem) for path in read)
    if twice := sum(count > 1 for count in stems.values()):
        sentences.append(f"{twice:,} names occur with two suffixes, as DICOM and as picture.")
    sentences += [f"{warning[:1].upper()}{warning[1:]}: {n:,}." for warning, n in _most(seen)]
    rows += [("skipped", reason, f"{count:,}") for reason, count in skipped.most_common()]
    return Part("Files", tuple(sentences), ("", "", "files"), tuple(rows), bool(reasons))


def _most(seen: Inspection) -> list[tuple[str, int]]:
    return Counter(seen.warnings).most_common(MOST_SIZES)


def _people(seen: Inspection) -> Part:
    people = seen.described
    ages = sorted(image.age for image in people if image.age is not None)
    rows = [("view", name, n) for name, n in _counted(image.view for image in people)]
    rows += [("sex", name, n) for name, n in _counted(image.sex for image in people)]
    if ages:
        middle = ages[len(ages) // 2]
        rows.append(("age", f"{ages[0]} to {ages[-1]}, median {middle}", f"{len(ages):,}"))
    if len(ages) < len(people):
        rows.append(("age", UNKNOWN, f"{len(people) - len(ages):,}"))
    frontal = sum(image.is_frontal for image in people)
    sentences = [f"{frontal:,} of {len(people):,} images are known to be frontal."]
    if not frontal:
        sentences.append("Training and evaluation use frontal images alone: a view is needed.")
    if len(ages) < len(people) and seen.asked < len(people):
        sentences.append("DICOM headers were read of the decoded images alone.")
    return Part("Views and people", tuple(sentences), ("", "", "images"), tuple(rows))


def _counted(values: Iterable[str | None]) -> list[tuple[str, str]]:
    return [(name or UNKNOWN, f"{n:,}") for name, n in Counter(values).most_common()]


def _splits(seen: Inspection) -> Part:
    without = sum(image.patient is None for image in seen.images)
    named = sum(image.split is not None for image in seen.images)
    sentences = [f"{seen.patients:,} patients."]
    if without:
        sentences.append(
            f"{without:,} images have no patient: each counts as a patient of its own, and two "
            "images of one person may land in two splits."
        )
    if not named:
        sentences.append("No split is named: patients are split by a hash of their id, as below.")
    elif named < len(seen.images):
        sentences.append(f"{len(seen.images) - named:,} images name no split; a hash decides.")
    if seen.patients_in_two_splits:
        sentences.append(
            f"{seen.patients_in_two_splits:,} patients have images in more than one split; put "
            "each patient into one."
        )
    rows = tuple((name, f"{i:,}", f"{p:,}") for name, (i, p) in seen.splits().items())
    alarming = bool(seen.patients_in_two_splits)
    return Part(
        "Patients and splits", tuple(sentences), ("split", "images", "patients"), rows, alarming
    )


def _labels(seen: Inspection) -> Part:
    labels, splits = seen.labels(), list(seen.splits())
    if not labels:
        return Part("Findings", ("No finding is known of any image.",))
    rows = [
        (finding, *(f"{p:,} / {a:,}" for p, a in (cells.get(s, (0, 0)) for s in splits)))
        for finding, cells in labels.items()
    ]
    return Part(
        "Findings (present / absent)",
        ("Where an image is in neither number, it is not known whether it shows the finding.",),
        ("finding", *splits),
        tuple(rows),
    )


def _copies(seen: Inspection) -> Part:
    sentences = list[str]()
    alarming = False
    for what, pairs in (
        ("equal byte for byte", seen.copied),
        ("showing the same image in another file", seen.nearly_copied),
    ):
        splits, patients = seen.across(pairs)
        sentences.append(f"{len(pairs):,} pairs of files {what}{_of(splits, patients)}.")
        alarming |= bool(splits or patients)
    if alarming:
        sentences.append("Such pairs make figures too good: leave one of each out.")
    return Part("Duplicates", tuple(sentences), alarming=alarming)


def _of(splits: int, patients: int) -> str:
    named = [(splits, "in two splits"), (patients, "of two patients")]
    told = [f"{count:,} {what}" for count, what in named if count]
    return f"; of them {' and '.join(told)}" if told else ""
