"""Gain of steering a search by marked cases, on cases that the marks are not about.

For each finding of an image, a reader who looks for it marks the ten most similar cases: wanted if
they have the finding, unwanted if not. Then the next ten are found three ways, always without the
cases that were marked: not steered, steered by the marks, and steered by the same marks shuffled
among these cases. Figures are the share of the ten with the finding, and its gain, with 95 %
intervals over patients.

    xemplar index nih14 --split train --store xemplar-store
    python -m benchmarks.steering --store xemplar-store --images nih14 --split val

With `--boxes`, images are also searched for by each radiologist's box alone, and by its mirror
image in the other half of the chest: the share of ten cases that have a finding of the image.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the command does

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402
from xemplar_evaluator.bootstrap import estimate  # noqa: E402

from xemplar.api.search import Search  # noqa: E402
from xemplar.archive.store import Store  # noqa: E402
from xemplar.data.boxes import box_file, place_boxes, read_boxes, rows_of  # noqa: E402
from xemplar.data.datasets import DatasetImage, open_dataset  # noqa: E402
from xemplar.data.findings import NO_FINDING, positives  # noqa: E402
from xemplar.model.checkpoint import default_checkpoint  # noqa: E402
from xemplar.retrieval.result import Answer  # noqa: E402
from xemplar.retrieval.retriever import Retriever  # noqa: E402

K = 10
WAYS = ("not steered", "steered", "steered by shuffled marks")
PLACES = ("whole image", "box", "mirrored box")
PAIRS = ((1, 0), (2, 0), (1, 2))
"""Pairs of ways that are compared."""

Rows = list[tuple[str | None, tuple[float, ...]]]
"""Patient, and the share of the K cases by each way."""


def findings_of(image: DatasetImage) -> list[str]:
    """Findings that the image has."""
    return [finding for finding in positives(image.labels) if finding != NO_FINDING]


def share(answer: Answer, findings: Iterable[str]) -> float:
    """Share of an answer's cases that have one of the findings."""
    wanted = set(findings)
    return float(np.mean([bool(wanted & set(near.case.findings)) for near in answer.neighbours]))


def steer(retriever: Retriever, images: Sequence[DatasetImage], seed: int) -> Rows:
    """Mark the first ten cases for each finding of each image, and look at the next ten."""
    random, rows = np.random.default_rng(seed), Rows()
    ill = [image for image in images if findings_of(image)]
    for image in track(ill, "Steering", console=Console(stderr=True)):
        first = retriever.ask(image.path.read_bytes(), Search(k=K))
        cases = [near.case for near in first.neighbours]
        ids = np.array([case.case_id for case in cases])
        later = retriever.again(first, Search(k=K, exclude=tuple(ids.tolist())))
        for finding in findings_of(image):
            marks = np.array([finding in case.findings for case in cases])
            shares = [share(later, [finding])]
            for wanted in (marks, random.permutation(marks)):
                marked = Search(k=K, like=tuple(ids[wanted]), unlike=tuple(ids[~wanted]))
                shares.append(share(retriever.again(first, marked), [finding]))
            rows.append((image.patient, tuple(shares)))
    return rows


def look(retriever: Retriever, boxed: Path) -> Rows:
    """Search by each box, and by its mirror image."""
    images, file = open_dataset(boxed).images, box_file(boxed)
    if file is None:
        raise SystemExit(f"{boxed} has no boxes")
    drawn = read_boxes(file)
    images = tuple(images[row] for row in sorted({*rows_of(drawn, images)} - {None}))
    shapes = np.array([Image.open(image.path).size[::-1] for image in images])
    placed = place_boxes(drawn, images, shapes, retriever.checkpoint.card.findings)
    rows = Rows()
    for row, boxes in track(placed.items(), "Boxes", console=Console(stderr=True)):
        findings = findings_of(images[row])
        if not findings:
            continue
        whole = retriever.ask(images[row].path.read_bytes(), Search(k=K))
        for box in boxes:
            sides = (box.left, box.right), (1 - box.right, 1 - box.left)
            regions = [(left, box.top, right, box.bottom) for left, right in sides]
            found = [share(whole, findings)]
            for region in regions:
                search = Search(k=K, region=",".join(f"{edge:.6f}" for edge in region))
                found.append(share(retriever.again(whole, search), findings))
            rows.append((images[row].patient, tuple(found)))
    return rows


def table(
    title: str, ways: Sequence[str], rows: Rows, pairs: Sequence[tuple[int, int]] = PAIRS
) -> Table:
    """Means of each way, and differences of the pairs of ways."""
    patients, shares = [patient for patient, _ in rows], np.array([found for _, found in rows])
    shown = Table("", "share (95 %)", title=f"{title}; {len(rows)} searches", box=None)
    values = dict(zip(ways, shares.T, strict=True)) | {
        f"{ways[one]} - {ways[other]}": shares[:, one] - shares[:, other] for one, other in pairs
    }
    for name, column in values.items():
        found = estimate(column, patients)
        assert found is not None
        shown.add_row(name, str(found))
    return shown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="data set of other patients")
    parser.add_argument("--split", help="of the images; all by default")
    parser.add_argument("--boxes", type=Path, help="data set with radiologists' boxes")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    images = [
        image for image in open_dataset(asked.images).images if asked.split in (None, image.split)
    ]
    with closing(Retriever.open(default_checkpoint(), Store(asked.store))) as retriever:
        found = table("next ten with the finding", WAYS, steer(retriever, images, asked.seed))
        Console().print(found)
        if asked.boxes:
            rows = look(retriever, asked.boxes)
            Console().print(table("ten with a finding of the image", PLACES, rows))


if __name__ == "__main__":
    main()
