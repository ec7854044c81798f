"""Thresholds for an image kept twice: `SAME_IMAGE`, `COPY_COSINE`, `NEAR_DUPLICATE`.

Each image is read as it is and as copies: re-encoded, smaller, under another window. For each kind
of copy, the cosine of its embedding to the original's, the correlation of local contrast
(`xemplar.imaging.local_contrast.likeness`), and the share of equal signs that a checkpoint tells
pictures of its training by (`xemplar.data.membership`). For the images themselves, the largest of
them to another image, of the same patient or of others, over all pairs. ``--indexed`` names a data
set that holds the images in another form, whose file a column ``nih14_file`` of labels.csv tells:
real copies.

    python -m benchmarks.near_duplicates --images images
    python -m benchmarks.near_duplicates --images originals --indexed nih14
"""

import argparse
import csv
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from xemplar.api.search import NEAR_DUPLICATE
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.data.membership import SAME_SIGNS, equal_signs, projections_of, signs_of
from xemplar.imaging import decode
from xemplar.imaging.local_contrast import SAME_IMAGE, local_contrast
from xemplar.imaging.preprocess import preprocess
from xemplar.model.checkpoint import default_checkpoint, load
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.retrieval.duplicates import COPY_COSINE

Seen: TypeAlias = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Measurements of n files: embeddings, float32 (n, C), and local contrasts, float32 (n, places)."""

AT_ONCE = 16


def jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> bytes:
    """The image as a JPEG."""
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """The image as a PNG."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def copies(data: bytes) -> dict[str, bytes]:
    """The image's file, and what a data set or a viewer may have made of it."""
    pixels = np.asarray(decode(data).pixels, np.uint8)
    smaller = cv2.resize(pixels, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    quarter = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    grey = pixels / 255
    masked = pixels.copy()
    masked[: masked.shape[0] // 8, : masked.shape[1] // 4] = 0
    return {
        "the image": data,
        "JPEG, quality 75": jpeg(pixels, 75),
        "JPEG, quality 30": jpeg(pixels, 30),
        "three quarters of its side": png(smaller),
        "half of its side": png(quarter),
        "three quarters, JPEG of quality 75": jpeg(smaller, 75),
        "gamma 0.7": png((grey**0.7 * 255).astype(np.uint8)),
        "window from 10 to 90 %": png((np.clip((grey - 0.1) / 0.8, 0, 1) * 255).astype(np.uint8)),
        "a corner blacked out": png(masked),
    }


def seen(encoder: Encoder, files: Iterable[bytes]) -> Seen:
    """Encodes some files, and measures their local contrast."""
    spec = encoder.checkpoint.card.spec
    inputs = [preprocess(decode(data), spec) for data in files]
    vectors = [
        encoder.encode(np.stack(inputs[n : n + AT_ONCE])).embedding
        for n in range(0, len(inputs), AT_ONCE)
    ]
    return np.concatenate(vectors), np.stack([local_contrast(one).ravel() for one in inputs])


def told(name: str, *measured: npt.NDArray[np.floating]) -> None:
    """One line: percentiles of cosine, likeness and signs, and how many would be told as one."""
    cosines, likeness, signs = measured
    same = ((cosines >= COPY_COSINE) & (likeness >= SAME_IMAGE)).mean()
    parts = [
        f"{what} {np.min(of):.3f} {np.median(of):.3f} {np.max(of):.3f}"
        for what, of in zip(("cosine", "likeness", "signs"), measured, strict=True)
    ]
    near, member = (cosines > NEAR_DUPLICATE).mean(), (signs >= SAME_SIGNS).mean()
    print(
        f"{name:36} {'  '.join(parts)}  same {same:6.1%}  near duplicate {near:6.1%}  "
        f"by signs {member:6.1%}"
    )


def compared(one: Seen, other: Seen) -> list[npt.NDArray[np.floating]]:
    """Cosines, likenesses and shares of equal signs of n and m files, each (n, m)."""
    drawn = projections_of(b"near_duplicates")
    signs = equal_signs(*(signs_of(contrasts, drawn) for _, contrasts in (one, other)))
    return [one[0] @ other[0].T, one[1] @ other[1].T, signs]


def pairs(images: list[DatasetImage], every: Seen) -> None:
    """The most alike of each image's others, of its patient and of others."""
    patients = np.array([image.patient or str(image.path) for image in images])
    same = patients[:, None] == patients
    measured = compared(every, every)
    cosines, likeness, _ = measured
    for name, which in (("another image of its patient", same), ("an image of another", ~same)):
        which = which & ~np.eye(len(images), dtype=bool)
        some = which.any(axis=1)
        if some.any():
            told(
                f"most alike: {name}",
                *(np.where(which, of, -1).max(axis=1)[some] for of in measured),
            )
    close = np.triu(likeness, 1) >= min(SAME_IMAGE, 0.6)
    for one, other in np.argwhere(close):
        print(
            f"    {images[one].path.name} and {images[other].path.name}: "
            f"cosine {cosines[one, other]:.3f}, likeness {likeness[one, other]:.3f}"
        )


def real_copies(encoder: Encoder, folder: Path, indexed: Path) -> None:
    """Images that another data set holds in another form."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    one = seen(encoder, [(folder / row["file"]).read_bytes() for row in rows])
    other = seen(encoder, [(indexed / row["nih14_file"]).read_bytes() for row in rows])
    measured = compared(one, other)
    told(f"as {indexed.name} has them", *(np.diag(of) for of in measured))
    others = ~np.eye(len(rows), dtype=bool)
    told(f"other images of {indexed.name}", *(of[others] for of in measured))


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="data set or folder")
    parser.add_argument("--indexed", type=Path, help="data set that holds them in another form")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--limit", type=int, default=200, help="images that pairs are made of")
    parser.add_argument("--copied", type=int, default=50, help="images that copies are made of")
    arguments = parser.parse_args()
    encoder = open_encoder(load(arguments.checkpoint))
    images = list(open_dataset(arguments.images).images[: arguments.limit])
    print(
        f"{len(images)} images of {arguments.images.name}; least, middle, largest; same image from"
    )
    print(f"cosine {COPY_COSINE} and likeness {SAME_IMAGE}; near duplicate above {NEAR_DUPLICATE}")
    if arguments.indexed:
        real_copies(encoder, arguments.images, arguments.indexed)
    some = images[: arguments.copied]
    shown = track(some, "copies", console=Console(stderr=True))
    made = [seen(encoder, copies(image.path.read_bytes()).values()) for image in shown]
    between = list(zip(*(compared(one, one) for one in made), strict=True))
    for place, name in list(enumerate(copies(some[0].path.read_bytes())))[1:]:
        told(f"copy: {name}", *(np.array([of[0, place] for of in one]) for one in between))
    shown = track(images, "images", console=Console(stderr=True))
    pairs(images, seen(encoder, (image.path.read_bytes() for image in shown)))
    inputs = preprocess(decode(images[0].path.read_bytes()), encoder.checkpoint.card.spec)
    began = time.perf_counter()
    for _ in range(100):
        local_contrast(inputs)
    print(f"local contrast of an image: {(time.perf_counter() - began) * 10:.2f} ms")


if __name__ == "__main__":
    main()
