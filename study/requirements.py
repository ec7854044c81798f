"""Refuses at the start what cannot succeed, instead of after hours."""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from xemplar.data.datasets import TRAIN, VAL, Dataset, DatasetImage
from xemplar.data.datasets.mapping import MAPPING, read_mapping
from xemplar.data.splits import patient_key
from xemplar.data.workbook import is_workbook

from .choices import Choices
from .inspection import Inspection

OF_EVALUATION = ("torch", "sklearn", "scipy", "jinja2", "matplotlib", "quantus", "pytorch_grad_cam")
OF_WORKBOOKS = ("openpyxl",)
OF_TRAINING = ("torch", "torchvision", "tensorboard", "sklearn", "matplotlib")

FEWEST = 16
"""Patients from which on an evaluation gives intervals."""


def missing_extras(choices: Choices) -> list[str]:
    """Name the extras that a study needs and this installation lacks."""
    needed: dict[str, tuple[str, ...]] = {"evaluate": OF_EVALUATION}
    if choices.train.run:
        needed["train"] = OF_TRAINING
    if any(_reads_a_workbook(Path(folder)) for folder in choices.data.folders):
        needed["excel"] = OF_WORKBOOKS
    return [extra for extra, names in needed.items() if not all(map(find_spec, names))]


def _reads_a_workbook(folder: Path) -> bool:
    file = folder / MAPPING
    table = read_mapping(file).table if file.is_file() else None
    return table is not None and is_workbook(table)


def refusals(choices: Choices, seen: Inspection, findings: Sequence[str]) -> list[str]:
    """State what a study cannot succeed with.

    Args:
        choices: of the study.
        seen: inspection of its folders.
        findings: outputs of the network.

    Returns:
        Sentences with the remedy; empty if nothing is known to be in the way.
    """
    found = [folder.refusal for folder in seen.folders if folder.refusal]
    unread = [f.root for f in seen.folders if f.suggestion is not None]
    found += [
        f"no table of {root} is read, so that nothing can be measured; run `xemplar inspect {root} "
        "--fix-columns`"
        for root in unread
    ]
    if found:
        return found
    datasets = [folder.dataset for folder in seen.folders if folder.dataset]
    evaluated = [d for d in datasets if not without_queries(choices, seen, d)]
    if not evaluated:
        found += [without_queries(choices, seen, dataset) for dataset in datasets]
    for dataset in evaluated:
        found += _unmeasurable(choices, seen, dataset, findings)
    if choices.train.run:
        found += _untrainable(seen, findings)
    return found


def without_queries(choices: Choices, seen: Inspection, dataset: Dataset) -> str:
    """Say why a data set cannot be evaluated by itself; empty if it can."""
    frontal = [image for image in dataset.images if image.is_frontal]
    if not frontal:
        return (
            f"{dataset.name} has no image that is known to be frontal; a column of views is needed"
        )
    splits = {seen.split_of(image) for image in frontal}
    wanted = set(choices.evaluate.splits)
    if not splits & wanted:
        return (
            f"{dataset.name} has no frontal image of the split(s) {', '.join(sorted(wanted))} to "
            f"ask with; it has {', '.join(sorted(splits))}"
        )
    if not splits & set(choices.index.splits):
        return (
            f"{dataset.name} has no frontal image of the split(s) "
            f"{', '.join(choices.index.splits)} to be found; it has {', '.join(sorted(splits))}"
        )
    return ""


def _unmeasurable(
    choices: Choices, seen: Inspection, dataset: Dataset, findings: Sequence[str]
) -> list[str]:
    queries = _of_splits(seen, dataset.images, choices.evaluate.splits)
    cases = _of_splits(seen, dataset.images, choices.index.splits)
    found = []
    if not _both(queries, findings):
        found.append(
            f"no finding of the network is both present and absent among the {len(queries):,} "
            f"queries of {dataset.name}, so that nothing tells good cases from others; choose "
            "other splits, or add images"
        )
    asking = {patient_key(image) for image in queries}
    if not {patient_key(image) for image in cases} - asking:
        found.append(
            f"every case of {dataset.name} is of the one patient who asks; a query never finds its "
            "own patient: add patients"
        )
    learnt = {
        patient_key(image)
        for image in dataset.images
        if seen.split_of(image) in (TRAIN, VAL) and not set(choices.evaluate.splits) & {TRAIN, VAL}
    }
    if both := len(asking & learnt):
        found.append(
            f"{both:,} patients of {dataset.name} are in train or val and among the queries; put "
            "all images of a patient into one split"
        )
    return found


def _untrainable(seen: Inspection, findings: Sequence[str]) -> list[str]:
    found = []
    for split in (TRAIN, VAL):
        images = [image for image in seen.images if image.is_frontal]
        some = [image for image in images if seen.split_of(image) == split]
        if not some:
            found.append(f"no frontal image is in the split {split}, which training needs")
        elif not _both(some, findings):
            found.append(
                f"no finding is both present and absent among the {len(some):,} images of {split}, "
                "so that no AUC can choose an epoch; give it more patients (split.val)"
            )
    return found


def cautions(choices: Choices, seen: Inspection) -> list[str]:
    """State what a study's reader should know, although it can succeed."""
    queries = [i for i in seen.images if seen.split_of(i) in choices.evaluate.splits]
    patients = {patient_key(image) for image in queries}
    found = []
    if len(patients) < FEWEST:
        found.append(
            f"{len(patients)} patients ask: with fewer than {FEWEST} there are no intervals"
        )
    for what, pairs in (("equal", seen.copied), ("nearly equal", seen.nearly_copied)):
        if splits := seen.across(pairs)[0]:
            found.append(f"{splits:,} pairs of {what} images are in two splits")
    return found


def _of_splits(
    seen: Inspection, images: Iterable[DatasetImage], splits: Sequence[str]
) -> list[DatasetImage]:
    return [image for image in images if image.is_frontal and seen.split_of(image) in splits]


def _both(images: Sequence[DatasetImage], findings: Sequence[str]) -> bool:
    """Tell whether a finding is present in one of the images and absent in another."""
    values = {name: {image.labels.get(name) for image in images} for name in findings}
    return any({0, 1} <= each for each in values.values())


def evaluated_folders(choices: Choices, seen: Inspection) -> list[tuple[Path, str, str]]:
    """Select the data sets that can be evaluated: (folder, name, identity domain)."""
    named = zip(
        map(Path, choices.data.folders), choices.data.sources, choices.data.patients, strict=True
    )
    usable = {
        folder.dataset.name
        for folder in seen.folders
        if folder.dataset and not without_queries(choices, seen, folder.dataset)
    }
    return [one for one in named if one[1] in usable]
