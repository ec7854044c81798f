"""Files of reports: a text file named like its image, or XML of Open-i that names its images."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from xemplar.data.datasets.discovery import regular_files
from xemplar.data.datasets.records import DatasetImage, WrittenReport, some_of

LARGEST_XML = 320_000
"""Bytes of a file that are searched for its images; reports of Open-i have a tenth of them."""

_IMAGE_ID = re.compile(rb"<parentImage\s[^>]*\bid=\"([^\"]{1,200})\"")


def written_report(whole: str, findings: str, impression: str) -> WrittenReport | None:
    """Build the report of a row; None if all its cells are empty."""
    report = WrittenReport(whole, findings, impression)
    return report if whole or findings or impression else None


def find_reports(
    root: Path, images: Iterable[DatasetImage]
) -> tuple[list[DatasetImage], Sequence[str]]:
    """Give each image without a report the file that holds its report, if there is one.

    A text file belongs to the image of the same name without suffix, in the same folder or in
    another one if no other image is called so. A file of Open-i names its images.

    Returns:
        The images, and notes on files that belong to no image or to several.
    """
    images = list(images)
    by_name = defaultdict[str, list[int]](list)
    for number, image in enumerate(images):
        by_name[image.path.stem].append(number)
    found: dict[int, Path] = {}
    unused: list[str] = []
    for file in regular_files(root, {".txt", ".xml"}):
        named = [file.stem] if file.suffix.lower() == ".txt" else _images_of(file)
        several = [number for name in named for number in by_name.get(name, ())]
        if file.suffix.lower() == ".txt":
            beside = [number for number in several if images[number].path.parent == file.parent]
            several = beside if len(beside) == 1 else several if len(several) == 1 else []
        for number in several:
            found[number] = file
        if not several:
            unused.append(file.relative_to(root).as_posix())
    with_reports = [
        image if image.report is not None else replace(image, report=found.get(number))
        for number, image in enumerate(images)
    ]
    count = sum(image.report is not None for image in with_reports)
    notes = [f"{count:,} of {len(images):,} image(s) have a report"]
    if unused:
        notes.append(
            f"{len(unused):,} text or XML file(s) name no image, or several: {some_of(unused)}"
        )
    return with_reports, notes


def _images_of(file: Path) -> list[str]:
    """Return the names of the images in a file of Open-i; none in any other XML."""
    with file.open("rb") as opened:
        start = opened.read(LARGEST_XML)
    return [name.decode("utf-8", "replace") for name in _IMAGE_ID.findall(start)]
