"""Copies planted in a data set: how many are found, and how many other images are called copies.

Some images are written again in another form (re-encoded, smaller, under another window, a corner
blacked out), as if another split held them under another patient. Each is compared with every image
of the data set as `xemplar evaluate` does for leaks (`SAME_IMAGE`).

    python -m benchmarks.planted_copies --images nih14 --planted 1000
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from xemplar_evaluator.readers.power import SimulatedShare

from benchmarks.near_duplicates import copies
from xemplar.data.datasets import open_dataset
from xemplar.data.membership import contrasts
from xemplar.imaging import decode
from xemplar.imaging.local_contrast import SAME_IMAGE
from xemplar.imaging.preprocess import PreprocessSpec, preprocess

BLOCK = 512


def main() -> None:
    """Plant, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="data set")
    parser.add_argument("--planted", type=int, default=1000, help="copies of each seed")
    parser.add_argument("--limit", type=int, default=10_000, help="images that are compared")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    spec, draw = PreprocessSpec(), np.random.default_rng(arguments.seed)
    images = list(open_dataset(arguments.images).images[: arguments.limit])
    patients = np.array([image.patient or str(image.path) for image in images])
    shown = track(images, "images", console=Console(stderr=True))
    own = contrasts([preprocess(decode(one.path.read_bytes()), spec) for one in shown])

    kinds = list(copies(images[0].path.read_bytes()))[1:]
    chosen = draw.choice(len(images), min(arguments.planted, len(images)), replace=False)
    kind = draw.integers(len(kinds), size=len(chosen))
    planted = [
        preprocess(decode(copies(images[int(row)].path.read_bytes())[kinds[int(which)]]), spec)
        for row, which in track(
            list(zip(chosen, kind, strict=True)), "copies", console=Console(stderr=True)
        )
    ]
    alike = contrasts(planted) @ own.T
    found = alike[np.arange(len(chosen)), chosen] >= SAME_IMAGE
    wrong = (alike >= SAME_IMAGE) & (patients[None, :] != patients[chosen][:, None])
    print(
        f"{len(images):,} images of {arguments.images.name}, {len(chosen):,} planted copies, seed "
        f"{arguments.seed}; a copy from a likeness of {SAME_IMAGE}"
    )
    print(f"found: {SimulatedShare.of(int(found.sum()), len(found))}")
    for number, name in enumerate(kinds):
        some = found[kind == number]
        print(f"    {name:36} {SimulatedShare.of(int(some.sum()), len(some))}, {len(some)} copies")
    pairs, highest = 0, -1.0
    for begin in range(0, len(images), BLOCK):
        rows = slice(begin, begin + BLOCK)
        likeness = own[rows] @ own.T
        likeness[patients[rows][:, None] == patients] = -1
        pairs += int(np.count_nonzero(likeness >= SAME_IMAGE))
        highest = max(highest, float(likeness.max()))
    print(
        f"copies called one of another patient's image: {int(wrong.any(axis=1).sum())} of "
        f"{len(chosen):,}; pairs of different patients' images called copies: {pairs // 2} of "
        f"{len(images) * (len(images) - 1) // 2:,}, highest likeness {highest:.3f}"
    )


if __name__ == "__main__":
    main()
