"""Measurements that the fixed scales and the colours of maps rest on (docs/decisions/0046).

    python -m benchmarks.map_scales --store STORE --images nih14

Prints the maxima of the stored Grad-CAMs of called findings, those of the similarity evidence of
`FILMS` images of a data set and their nearest cases, and how visible several colour maps are on
film. The store holds the images, so an image's own case is left out.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from xemplar.api.search import Search
from xemplar.archive.store import Store
from xemplar.data.datasets import open_dataset
from xemplar.imaging.overlay import OPACITY
from xemplar.model.checkpoint import default_checkpoint
from xemplar.retrieval import render
from xemplar.retrieval.retriever import Retriever

FILMS, CASES, SEED = 30, 3, 1
SHARE = np.linspace(0, 1, 101)
GREYS = (0, 40, 90, 140, 190, 230)
MAPS = {
    "turbo": (cv2.COLORMAP_TURBO, 220),
    "inferno": (cv2.COLORMAP_INFERNO, 180),
    "inferno, all": (cv2.COLORMAP_INFERNO, 255),
    "cividis": (cv2.COLORMAP_CIVIDIS, 255),
    "plasma": (cv2.COLORMAP_PLASMA, 180),
}
SEEN_AS = (
    np.eye(3),
    [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
)
"""With all colours, protanopia, deuteranopia and tritanopia (Machado et al., IEEE TVCG 2009)."""

Colours = npt.NDArray[np.float64]


def print_grad_cams(retriever: Retriever) -> None:
    """Print quantiles of the maxima of called findings' maps, beside the top of the scale."""
    checkpoint, index = retriever.checkpoint, retriever.generation
    ids = list(map(int, index.ids))
    probabilities = checkpoint.probabilities(np.stack([index.logits(case) for case in ids]))
    peaks = np.stack([index.cams(case).max(axis=(1, 2)) for case in ids])
    calls = 0
    for n, (name, one) in enumerate(
        zip(checkpoint.card.findings, checkpoint.card.calibration, strict=True)
    ):
        if one.threshold is not None:
            called = probabilities[:, n] >= one.threshold
            calls += int(called.sum())
            told = np.quantile(peaks[called, n], [0.05, 0.5, 0.95]).round(2) if called.any() else ""
            print(f"{name:20} {called.sum():5} called, maxima {told}, scale {one.strong:.2f}")
    print(f"{calls} calls on {len(ids)} cases")


def print_evidence(retriever: Retriever, images: Path) -> None:
    """Print quantiles of the largest shares of a location, and of a pair of locations."""
    found = open_dataset(images).images
    drawn = np.random.default_rng(SEED).choice(len(found), FILMS, replace=False)
    location, pair = [], []
    for number in drawn:
        answer = retriever.ask(found[number].path.read_bytes(), Search(k=CASES))
        for near in answer.neighbours:
            if near.case.case_id != answer.archived_as:
                shares = render.matches(retriever.live, retriever.media, answer, near.case)
                location += [float(shares.sum(axis).max()) for axis in (0, 1)]
                pair.append(float(shares.max()))
    print(f"{len(pair)} pairs of images; quantiles 0.5 and 0.95 of the largest share of")
    print(f"  a location {np.quantile(location, [0.5, 0.95]).round(4)}")
    print(f"  a pair of locations {np.quantile(pair, [0.5, 0.95]).round(4)}")


def lab(colours: Colours, eyes: npt.ArrayLike) -> Colours:
    """CIELAB (n, 3) of sRGB colours (n, 3) in [0, 1], as these eyes see them."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    mixed = np.clip(linear @ np.transpose(eyes), 0, 1)
    back = np.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(back[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0].astype(np.float64)


def print_visibility() -> None:
    """Print for each colour map how visible its top is, and how much more a cooler place is."""
    opacity = (OPACITY * SHARE)[:, None]
    for name, (number, top) in MAPS.items():
        levels = np.rint(SHARE * top).astype(np.uint8)
        colours = cv2.applyColorMap(levels[None], number)[0][:, ::-1] / 255
        least, fall = np.inf, 0.0
        for eyes in SEEN_AS:
            for grey in GREYS:
                film = np.full((len(SHARE), 3), grey / 255)
                blended = film * (1 - opacity) + colours * opacity
                apart = np.linalg.norm(lab(blended, eyes) - lab(film, eyes), axis=1)
                least, fall = min(least, apart[-1]), max(fall, apart.max() - apart[-1])
        print(f"{name:14} top {least:5.1f}, a cooler place at most {fall:4.1f} more")


def main() -> None:
    """Print all three."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="data set")
    arguments = parser.parse_args()
    print_visibility()
    retriever = Retriever.open(default_checkpoint(), Store(arguments.store))
    print_grad_cams(retriever)
    print_evidence(retriever, arguments.images)


if __name__ == "__main__":
    main()
