"""Gain of a question of several images, on images that share a finding.

For each image and each of its findings, one and two companions are drawn at random from the other
patients' images with that finding, as a reader does who looks for it and has further examples.
Cases are found for one, two and three images; and with the companions shuffled among all searches,
which have as many images but share the finding by chance alone. Figures are the share of ten cases
with the finding, and its gains, with 95 % intervals over the patients who ask.

    xemplar index nih14 --split train --store xemplar-store
    python -m benchmarks.several --store xemplar-store --images nih14 --split test --split box
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from xemplar.cli.environment import limit_threads

limit_threads(os.environ)  # as the command does

import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402

from benchmarks.steering import K, Rows, findings_of, share, table  # noqa: E402
from xemplar.api.search import Search  # noqa: E402
from xemplar.archive.store import Store  # noqa: E402
from xemplar.data.datasets import DatasetImage, open_dataset  # noqa: E402
from xemplar.model.checkpoint import default_checkpoint  # noqa: E402
from xemplar.retrieval.result import Answer  # noqa: E402
from xemplar.retrieval.retriever import Retriever  # noqa: E402

WAYS = ("one image", "two images", "three images", "two, shuffled", "three, shuffled")
GAINS = ((1, 0), (2, 0), (3, 0), (4, 0), (1, 3), (2, 4))
"""Pairs of ways that are compared."""

COMPANIONS = 2


def searches(
    images: Sequence[DatasetImage], random: np.random.Generator
) -> list[tuple[int, str, list[int]]]:
    """Draw companions: place of the image, finding, and places of images of other patients."""
    having = defaultdict[str, list[int]](list)
    for place, image in enumerate(images):
        for finding in findings_of(image):
            having[finding].append(place)
    found = []
    for place, image in enumerate(images):
        for finding in findings_of(image):
            others = [one for one in having[finding] if images[one].patient != image.patient]
            if len(others) >= COMPANIONS:
                drawn = random.choice(others, COMPANIONS, replace=False)
                found.append((place, finding, drawn.tolist()))
    return found


def ask(retriever: Retriever, images: Sequence[DatasetImage], seed: int) -> Rows:
    """Answer each search with one, two and three images, and with shuffled companions."""
    random, console = np.random.default_rng(seed), Console(stderr=True)
    images = [image for image in images if findings_of(image)]
    alone: list[Answer] = [
        retriever.ask(image.path.read_bytes(), Search(k=K))
        for image in track(images, "Images", console=console)
    ]
    asked, rows = searches(images, random), Rows()
    shuffled = random.permutation(len(asked))
    for number, (place, finding, own) in enumerate(track(asked, "Searches", console=console)):
        theirs = [one for one in asked[shuffled[number]][2] if one != place]
        shares = [share(alone[place], [finding])]
        for companions in (own, theirs):
            for count in range(1, COMPANIONS + 1):
                others = [alone[one] for one in companions[:count]]
                answer = retriever.again(alone[place], Search(k=K), others)
                shares.append(share(answer, [finding]))
        rows.append((images[place].patient, tuple(shares)))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="data set of other patients")
    parser.add_argument("--split", action="append", help="of the images; all by default")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    images = [
        image
        for image in open_dataset(asked.images).images
        if asked.split is None or image.split in asked.split
    ]
    with closing(Retriever.open(default_checkpoint(), Store(asked.store))) as retriever:
        rows = ask(retriever, images, asked.seed)
        Console().print(table("ten with the finding", WAYS, rows, GAINS))


if __name__ == "__main__":
    main()
