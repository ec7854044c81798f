"""`inspect`: tells what lies in folders, and what would be read of it; changes nothing.

The readers of `xemplar.data` decide, as they do for the index job.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from xemplar.data.csv_table import READABLE
from xemplar.data.datasets import TEST, TRAIN, VAL, Dataset, DatasetImage, open_dataset
from xemplar.data.datasets.discovery import FolderContents, scan_folder
from xemplar.data.datasets.mapping import MAPPING
from xemplar.data.datasets.suggestion import Suggestion, suggest_mapping
from xemplar.data.findings import UnknownFindings
from xemplar.data.splits import PatientSplit, patient_key
from xemplar.errors import DatasetError

from .files import FileFacts, copies, read_facts
from .pictures import NearDuplicate, Picture, near_duplicates, read_pictures, spread

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder, and what the readers say of it.

    Attributes:
        root: the folder.
        contents: its files.
        dataset: as index would read it, or would by the suggestion; None if it would not.
        refusal: why index would not read it; empty if it would.
        suggestion: how its table may be read, where it is not read as it is.
        faults: why tables cannot be read; may quote them.
    """

    root: Path
    contents: FolderContents
    dataset: Dataset | None
    refusal: str
    suggestion: Suggestion | None
    faults: tuple[str, ...] = ()

    @property
    def is_mapped(self) -> bool:
        """True where a person has to correct the folder's ``columns.toml``, if anything."""
        return (self.root / MAPPING).is_file()


@dataclass(frozen=True, eq=False)
class Inspection:
    """Inventory of folders.

    Attributes:
        folders: in the order asked for.
        facts: of the image files that would be read, or of all images where nothing would be.
        unreadable: (file, reason) of images that cannot be read or decoded.
        images: all that would be read, of all data sets.
        rule: splits patients where a data set does not.
        pictures: the images that were decoded: all, or evenly spread ones.
        asked: number of images that were to be decoded.
        copies: groups of files that are equal byte for byte.
        near: pairs of pictures that show the same image, among those decoded, without `copies`.
    """

    folders: tuple[Folder, ...]
    facts: tuple[FileFacts, ...]
    unreadable: tuple[tuple[Path, str], ...]
    images: tuple[DatasetImage, ...]
    rule: PatientSplit
    pictures: tuple[Picture, ...] = ()
    asked: int = 0
    copies: tuple[tuple[Path, ...], ...] = ()
    near: tuple[NearDuplicate, ...] = ()
    warnings: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def by_path(self) -> Mapping[Path, DatasetImage]:
        """Image of each path."""
        return {image.path: image for image in self.images}

    @cached_property
    def _split_of(self) -> Mapping[int, str]:
        return {id(image): self.rule.of(image) for image in self.images}

    def split_of(self, image: DatasetImage) -> str:
        """Return the split that one of `images` is in, or would be put in by its patient."""
        return self._split_of[id(image)]

    @cached_property
    def described(self) -> Sequence[DatasetImage]:
        """Images, whose DICOM headers tell what no table does, as far as they were decoded."""
        found = list(self.images)
        for one in self.pictures:
            image = found[one.index]
            if one.view or one.sex or one.age is not None:
                found[one.index] = replace(
                    image,
                    view=image.view or one.view,
                    sex=image.sex or one.sex,
                    age=one.age if image.age is None else image.age,
                )
        return found

    @cached_property
    def patients(self) -> int:
        """Number of patients among images that have one."""
        return len({patient_key(image) for image in self.images if image.patient})

    @cached_property
    def patients_in_two_splits(self) -> int:
        """Number of patients with images in more than one split."""
        splits: dict[object, set[str]] = {}
        for image in self.images:
            if image.patient:
                splits.setdefault(patient_key(image), set()).add(self.split_of(image))
        return sum(len(found) > 1 for found in splits.values())

    def across(self, pairs: Iterable[tuple[DatasetImage, DatasetImage]]) -> tuple[int, int]:
        """Count pairs in two splits, and pairs of two patients."""
        splits = patients = 0
        for one, other in pairs:
            splits += self.split_of(one) != self.split_of(other)
            patients += bool(one.patient and other.patient) and patient_key(one) != patient_key(
                other
            )
        return splits, patients

    @property
    def copied(self) -> list[tuple[DatasetImage, DatasetImage]]:
        """The first file of each group of copies, with each of the others."""
        known = self.by_path
        return [
            (known[group[0]], known[other])
            for group in self.copies
            for other in group[1:]
            if group[0] in known and other in known
        ]

    @property
    def nearly_copied(self) -> list[tuple[DatasetImage, DatasetImage]]:
        """Pairs that show the same image."""
        return [(self.images[pair.one], self.images[pair.other]) for pair in self.near]

    def labels(self) -> Mapping[str, Mapping[str, tuple[int, int]]]:
        """Count labels: finding -> split -> (present, absent)."""
        counts: dict[str, dict[str, list[int]]] = {}
        for image in self.images:
            split = self.split_of(image)
            for finding, value in image.labels.items():
                cell = counts.setdefault(finding, {}).setdefault(split, [0, 0])
                cell[0] += value == 1
                cell[1] += value == 0
        return {
            finding: {split: (cell[0], cell[1]) for split, cell in splits.items()}
            for finding, splits in sorted(counts.items())
        }

    def splits(self) -> Mapping[str, tuple[int, int]]:
        """Count images and patients by split, the usual splits first."""
        images, patients = Counter[str](), defaultdict[str, set[object]](set)
        for image in self.images:
            images[self.split_of(image)] += 1
            patients[self.split_of(image)].add(patient_key(image))
        order = [split for split in (TRAIN, VAL, TEST) if split in images]
        order += sorted(images.keys() - set(order))
        return {split: (images[split], len(patients[split])) for split in order}


def inspect(
    folders: Sequence[tuple[Path, str, str | None]],
    rule: PatientSplit,
    *,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
    unknown_findings: UnknownFindings = UnknownFindings.REFUSE,
    most: int = 2000,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> Inspection:
    """Inspect folders; nothing is written.

    Args:
        folders: (folder, name, identity domain or None) of each.
        rule: splits patients where a data set does not.
        table: see `open_dataset`, as are columns and unknown_findings.
        columns: column of ours -> its name in the table.
        unknown_findings: policy.
        most: images to decode at most.
        on_progress: called as the work goes on.
    """
    opened = [
        _folder(root, name, domain, table, columns, unknown_findings)
        for root, name, domain in folders
    ]
    images = tuple(chain.from_iterable(one.dataset.images for one in opened if one.dataset))
    paths = [image.path for image in images] or [
        path for one in opened for path in one.contents.images
    ]
    facts, unreadable = read_facts(paths, lambda done: on_progress("files", done, len(paths)))
    missing = {path for path, _ in unreadable}
    there = images or tuple(DatasetImage(path, "") for path in paths)
    present = [index for index, image in enumerate(there) if image.path not in missing]
    chosen = [present[place] for place in spread(len(present), most)] if present else []
    pictures, unusable = read_pictures(
        there, chosen, lambda done: on_progress("pictures", done, len(chosen))
    )
    equal = copies(facts)
    same = {frozenset(pair) for group in equal for pair in _pairs(group)}
    near = [
        pair
        for pair in near_duplicates(pictures)
        if frozenset((there[pair.one].path, there[pair.other].path)) not in same
    ]
    return Inspection(
        folders=tuple(opened),
        facts=tuple(facts),
        unreadable=(*unreadable, *((there[index].path, reason) for index, reason in unusable)),
        images=there,
        rule=rule,
        pictures=tuple(pictures),
        asked=len(chosen),
        copies=tuple(equal),
        near=tuple(near),
        warnings=Counter(w for picture in pictures for w in picture.warnings),
    )


def _folder(
    root: Path,
    name: str,
    domain: str | None,
    table: Path | None,
    columns: Mapping[str, str] | None,
    unknown: UnknownFindings,
) -> Folder:
    contents, dataset, refusal = scan_folder(root), None, ""
    try:
        dataset = open_dataset(
            root, name, table=table, columns=columns, unknown_findings=unknown, patients=domain
        )
    except DatasetError as error:
        refusal = str(error)
    suggestion: Suggestion | None = None
    faults: tuple[str, ...] = ()
    is_mapped = table is not None or columns or (root / MAPPING).is_file()
    if not is_mapped and (dataset is None or not dataset.tables):
        suggestion, faults = _suggestion(root, contents.tables)
        if suggestion is not None and not refusal:
            dataset = _as_suggested(root, name, domain, suggestion) or dataset
    return Folder(root, contents, dataset, refusal, suggestion, faults)


def _as_suggested(
    root: Path, name: str, domain: str | None, suggestion: Suggestion
) -> Dataset | None:
    """Read a folder as it would be by a suggestion, so that counts mean something."""
    try:
        return open_dataset(
            root,
            name,
            mapping=suggestion.mapping,
            unknown_findings=UnknownFindings.DROP,  # they may be anything, also names
            patients=domain,
        )
    except DatasetError:  # the mapping has to be corrected first: then it says why
        return None


def suggestion_for(root: Path) -> Suggestion:
    """Suggest how the table of a folder is read that is not read as it is.

    Raises:
        DatasetError: it is read as it is, or no table names images.
    """
    try:
        tables = open_dataset(root).tables
    except DatasetError:
        tables = ()
    if tables:
        raise DatasetError(f"{tables[0].file} is read as it is; no columns are to be fixed")
    found, faults = _suggestion(root, scan_folder(root).tables)
    if found is None:
        told = f" ({'; '.join(faults)})" if faults else ""
        raise DatasetError(
            f"no table (CSV, TSV, XLSX) of {root} has a column that names its images{told}; name "
            "the columns with --columns, or leave the table out"
        )
    return found


def _suggestion(root: Path, tables: Sequence[Path]) -> tuple[Suggestion | None, tuple[str, ...]]:
    """Suggest how the table that maps most columns is read; say why others cannot be.

    Returns:
        None if no table names images; and the reasons.
    """
    found, faults = [], []
    for table in tables:
        if table.suffix.lower() in READABLE:
            try:
                found.append(suggest_mapping(root, table))
            except DatasetError as error:  # another table may do
                faults.append(str(error))
    usable = [one for one in found if one is not None]
    best = max(usable, key=lambda one: len(one.mapping.columns), default=None)
    return best, () if best else tuple(faults)


def _pairs(group: Sequence[Path]) -> Iterable[tuple[Path, Path]]:
    return ((one, other) for place, one in enumerate(group) for other in group[place + 1 :])
