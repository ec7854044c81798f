"""Whether a cosine tells a film kept twice from two films: what `NEAR_DUPLICATE` should be.

Each film is encoded as it is and as copies: JPEG of quality 75, three quarters of its side, and
both. For each kind of copy, its cosine to the original; for the films themselves, the cosine of
each to the most similar other one, of its own patient or of others.

    python benchmarks/near_duplicates.py --films films
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from xemplar.checkpoint import default_checkpoint, load
from xemplar.datasets import open_dataset
from xemplar.encoder import Encoder, open_encoder
from xemplar.preprocess import preprocess
from xemplar.radiograph import decode
from xemplar.selection import NEAR_DUPLICATE

QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 75]


def copies(data: bytes) -> dict[str, bytes]:
    """The film's file, and what a data set or a viewer may have made of it."""
    pixels = decode(data).pixels
    smaller = cv2.resize(pixels, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    return {
        "the film": data,
        "JPEG, quality 75": cv2.imencode(".jpg", pixels, QUALITY)[1].tobytes(),
        "three quarters of its side": cv2.imencode(".png", smaller)[1].tobytes(),
        "both": cv2.imencode(".jpg", smaller, QUALITY)[1].tobytes(),
    }


def embedded(encoder: Encoder, files: dict[str, bytes]) -> npt.NDArray[np.float32]:
    """Of each file, float32 (files, C)."""
    spec = encoder.checkpoint.card.spec
    inputs = np.stack([preprocess(decode(data), spec) for data in files.values()])
    return encoder.encode(inputs).embedding


def told(name: str, cosines: npt.NDArray[np.floating]) -> None:
    """One line of percentiles, and the share above the threshold."""
    low, middle, high, most = np.percentile(cosines, (1, 50, 99, 100))
    above = float((cosines > NEAR_DUPLICATE).mean())
    print(
        f"{name:42} 1 %: {low:.4f}  50 %: {middle:.4f}  99 %: {high:.4f}  most: {most:.4f}  "
        f"above: {above:6.1%}"
    )


def main() -> None:
    """Encode, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--films", type=Path, required=True, help="data set or folder")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--limit", type=int, default=200)
    arguments = parser.parse_args()
    encoder = open_encoder(load(arguments.checkpoint))
    films = open_dataset(arguments.films).films[: arguments.limit]
    every = np.stack(
        [
            embedded(encoder, copies(film.path.read_bytes()))
            for film in track(films, "encoding", console=Console(stderr=True))
        ]
    )
    names = copies(films[0].path.read_bytes())
    print(f"{len(films)} films of {arguments.films.name}; threshold {NEAR_DUPLICATE}")
    for place, name in list(enumerate(names))[1:]:
        told(f"copy: {name}", (every[:, place] * every[:, 0]).sum(axis=1))
    patients = np.array([film.patient or str(film.path) for film in films])
    same = patients[:, None] == patients
    cosines = every[:, 0] @ every[:, 0].T
    for name, pairs in (("another film of its patient", same), ("a film of another", ~same)):
        nearest = np.where(pairs & ~np.eye(len(films), dtype=bool), cosines, -np.inf).max(axis=1)
        if np.isfinite(nearest).any():
            told(f"most similar: {name}", nearest[np.isfinite(nearest)])


if __name__ == "__main__":
    main()
