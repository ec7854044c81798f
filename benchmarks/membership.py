"""Measures what a checkpoint's digests (`xemplar.data.membership`) tell of other images.

The digests of `train` and `val` of one data set are made, and other images are asked: how many
patients and pictures are told as the training's, how many are by their ids, and how many by chance.

    python -m benchmarks.membership --trained nih14 --asked nih14 --split test --split box
    python -m benchmarks.membership --trained nih14 --asked nih14-more --patients nih
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.data.membership import Membership, contrasts, development_images
from xemplar.data.splits import PatientSplit, patient_key
from xemplar.imaging import decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess

AT_ONCE = 256


def people(images: Sequence[DatasetImage]) -> int:
    """Count the patients of some images."""
    return len({patient_key(image) for image in images})


def main() -> None:
    """Make the digests, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trained", type=Path, required=True, help="data set of the training")
    parser.add_argument("--asked", type=Path, required=True, help="data set that is asked about")
    parser.add_argument("--split", action="append", default=[], help="of it, all unless given")
    parser.add_argument("--patients", help="identity domain of both")
    parser.add_argument("--limit", type=int, default=1000, help="pictures that are asked about")
    arguments = parser.parse_args()
    spec, rule = PreprocessSpec(), PatientSplit()
    trained, asked = (
        open_dataset(root, patients=arguments.patients)
        for root in (arguments.trained, arguments.asked)
    )
    taught = development_images([trained], rule)
    began = time.process_time()
    members = Membership.of(taught, spec, b"benchmark")
    spent = time.process_time() - began
    size = len(json.dumps(members.to_json()))
    print(
        f"{len(taught):,} images of {people(taught):,} patients: {members.bits} bits a patient, "
        f"{size:,} bytes in all, {1000 * spent / len(taught):.1f} ms of a processor an image"
    )
    images = [i for i in asked.images if not arguments.split or rule.of(i) in arguments.split]
    told = [i for i, one in zip(images, members.has_patients(images), strict=True) if one]
    known = {patient_key(image) for image in taught}
    there = [image for image in images if patient_key(image) in known]
    print(
        f"of {people(images):,} patients {people(told):,} are told, {people(there):,} are there; "
        f"{members.strangers * (people(images) - people(there)):.1f} strangers by chance"
    )
    some = images[: arguments.limit]
    found = 0
    for begin in range(0, len(some), AT_ONCE):
        files = (image.path.read_bytes() for image in some[begin : begin + AT_ONCE])
        seen = contrasts([preprocess(decode(data), spec) for data in files])
        found += int(np.count_nonzero(members.has_pictures(seen)))
    print(f"of {len(some):,} pictures {found:,} are told")


if __name__ == "__main__":
    main()
