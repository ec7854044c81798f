"""Results of the input check on chest radiographs and others: rejected, warned of, accepted.

It is fitted on the images of one data set's split and checks images of another split, as they are,
turned and inverted, of another data set (`--among`: children among adults), and every picture and
DICOM file in the folders of `--others`, besides some that are made here. Others are taken as grey
pictures whatever their header says, as headers are judged elsewhere.

    python -m benchmarks.input_check --images nih14 --among kermany --others pictures --others
    dicom

`XEMPLAR_DATA` stands for the folder that such data sets lie in. Pictures to try are in the packages
scikit-image (`skimage/data`), pydicom-data (`data_store/data`) and nilearn, among others.
"""

import argparse
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.progress import track

from xemplar.data.datasets import open_dataset
from xemplar.imaging import decode
from xemplar.imaging.preprocess import PreprocessSpec, preprocess
from xemplar.imaging.validation.validator import (
    MAX_IMAGES,
    ORIENTATIONS,
    ROTATIONS,
    Orientation,
    ValidationResult,
)
from xemplar.model.checkpoint import default_checkpoint, load
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.retrieval.snapshot import fit_validator

Pixels = npt.NDArray[np.uint8]

KINDS = ("rejected", "unlike", "turned", "accepted")


class Judge:
    """Judges pictures as a service does that has indexed some images."""

    def __init__(self, encoder: Encoder, indexed: Pixels) -> None:
        validator = fit_validator(indexed, encoder)
        if validator is None:
            sys.exit(f"{len(indexed)} images are too few for an input validator")
        self.validator, self.encoder = validator, encoder

    def see(self, inputs: Pixels) -> npt.NDArray[np.float64]:
        """Encodes images."""
        return self.encoder.encode(inputs[None]).pooled()[0]

    def verdict(self, inputs: Pixels) -> ValidationResult:
        """Checks inputs."""
        return self.validator.check(inputs, self.see(inputs), self.see)


def kind(verdict: ValidationResult) -> str:
    """One of `KINDS`."""
    if verdict.rejected:
        return "rejected"
    if not verdict.warnings:
        return "accepted"
    return "turned" if "turned back" in verdict.warnings[0] else "unlike"


def told(name: str, verdicts: Sequence[ValidationResult]) -> None:
    """One line: how many, and the share of each kind."""
    counts = Counter(map(kind, verdicts))
    shares = "  ".join(f"{one} {counts[one] / len(verdicts):6.1%}" for one in KINDS)
    print(f"{name:56} {len(verdicts):5}  {shares}")


def images(name: str, data: Path, spec: PreprocessSpec, splits: set[str], count: int) -> Pixels:
    """Network inputs of images of a data set, drawn at random."""
    folder = Path(name) if Path(name).exists() else data / name
    found = [
        radiograph
        for radiograph in open_dataset(folder).images
        if not splits or radiograph.split in splits
    ]
    drawn = np.random.default_rng(0).permutation(len(found))[:count]
    chosen = [found[place] for place in drawn]
    if not chosen:
        sys.exit(f"{folder} has no images of the splits {sorted(splits)}")
    return np.stack([preprocess(decode(one.path.read_bytes()), spec) for one in chosen])


def laid(inputs: Pixels, orientation: Orientation) -> Pixels:
    """An upright image as it comes turned and inverted."""
    turned = np.ascontiguousarray(np.rot90(inputs, -orientation.turned))
    return ~turned if orientation.inverted else turned


def pictures(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """Every picture below a folder, grey: of a DICOM file its middle frame, as wide as its values.

    What cannot be read is passed over.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        grey = _picture(path)
        if grey is not None and min(grey.shape) >= 64 and grey.min() < grey.max():
            yield path.name, grey


def _picture(path: Path) -> Pixels | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("L"))
        except (OSError, ValueError, Image.DecompressionBombError):
            pass
        try:
            dataset = pydicom.dcmread(path)
            values = dataset.pixel_array.astype(np.float64)
        except Exception:  # noqa: BLE001 -- files that are made to break readers are among them
            return None
    if dataset.get("SamplesPerPixel") == 3:
        values = values.mean(axis=-1)
    while values.ndim > 2:
        values = values[len(values) // 2]
    low, high = np.percentile(values, (0.5, 99.5))
    scaled = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1"
    return np.round(255 * (1 - scaled if inverted else scaled)).astype(np.uint8)


def made(unseen: Pixels) -> Iterator[tuple[str, Pixels]]:
    """Pictures that are no chest images, and parts of chest images."""
    rng, side = np.random.default_rng(0), len(unseen[0])
    down, across = np.mgrid[-1:1:400j, -1:1:400j]  # type: ignore[misc]
    yield "gradients and noise", _stretched(across)
    yield "gradients and noise", _stretched(down)
    yield "gradients and noise", _stretched(-np.hypot(across, down))
    yield "gradients and noise", np.pad(np.full((340, 340), 200, np.uint8), 30)
    for blur in (1, 4, 16, 64):
        smooth = cv2.GaussianBlur(rng.normal(size=(400, 400)), (0, 0), blur)
        yield "gradients and noise", _stretched(smooth)
    lines = Path(__file__).read_text().split("\n")
    for paper, ink, size in ((255, 0, 12), (0, 255, 16), (245, 60, 30)):
        page = Image.new("L", (600, 800), paper)
        font = ImageFont.load_default(size)
        ImageDraw.Draw(page).multiline_text((30, 30), "\n".join(lines), fill=ink, font=font)
        yield "pages of text", np.asarray(page)
    for radiograph in unseen[:10]:
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), 45, 1)
        yield (
            "chest radiographs, by 45 degrees",
            np.asarray(cv2.warpAffine(radiograph, turn, (side, side))),
        )
        yield "corners of chest radiographs", radiograph[: side * 2 // 5, : side * 2 // 5]


def _stretched(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(cv2.normalize(values, None, 0, 255, cv2.NORM_MINMAX)).astype(np.uint8)


def inputs_of(grey: Pixels, spec: PreprocessSpec) -> Pixels:
    """Network inputs of a grey picture, as of one that is sent as PNG."""
    return preprocess(decode(cv2.imencode(".png", grey)[1].tobytes()), spec)


def main() -> None:
    """Learn, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--images", action="append", help="data set to learn from and to ask about; repeatable"
    )
    parser.add_argument("--learn-split", default="train", help="what is indexed of it")
    parser.add_argument("--ask-split", default="val,test", help="images that are not indexed")
    parser.add_argument("--among", action="append", default=[], help="another data set; repeatable")
    parser.add_argument("--others", action="append", default=[], type=Path, help="folder of others")
    parser.add_argument("--indexed", type=int, default=MAX_IMAGES, help="images to learn from")
    parser.add_argument(
        "--limit", type=int, default=200, help="images of each data set to ask about"
    )
    parser.add_argument("--turned", type=int, default=50, help="of these, turned and inverted")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    arguments = parser.parse_args()
    encoder = open_encoder(load(arguments.checkpoint))
    spec, data = encoder.checkpoint.card.spec, Path(os.environ.get("XEMPLAR_DATA", "."))
    learnt, asked = ({*text.split(",")} for text in (arguments.learn_split, arguments.ask_split))
    sets = arguments.images or ["nih14"]
    count = arguments.indexed // len(sets)
    indexed = np.concatenate([images(name, data, spec, learnt, count) for name in sets])
    judge = Judge(encoder, np.random.default_rng(0).permutation(indexed))
    print(f"learnt from {len(indexed)} images of {' and '.join(sets)}")
    for name in sets:
        unseen = images(name, data, spec, asked, arguments.limit)
        told(f"unseen images of {name}", [judge.verdict(one) for one in track_of(unseen)])
        for orientation in ORIENTATIONS[1:]:
            lying = [
                judge.verdict(laid(one, orientation))
                for one in track_of(unseen[: arguments.turned])
            ]
            right = sum(verdict.warnings == orientation.warnings() for verdict in lying) / len(
                lying
            )
            named = " ".join(
                filter(None, ("inverted" * orientation.inverted, ROTATIONS[orientation.turned]))
            )
            told(f"  {named}: {right:.0%} rightly", lying)
    for name in arguments.among:
        some = images(name, data, spec, set(), arguments.limit)
        told(f"images of {name}", [judge.verdict(one) for one in track_of(some)])
    others: dict[str, list[ValidationResult]] = {}
    for name, grey in made(unseen):
        others.setdefault(name, []).append(judge.verdict(inputs_of(grey, spec)))
    for folder in arguments.others:
        for file, grey in pictures(folder):
            verdict = judge.verdict(inputs_of(grey, spec))
            others.setdefault(f"others in {folder.name}", []).append(verdict)
            if kind(verdict) in ("accepted", "turned"):
                print(f"  {kind(verdict)}: {file}")
    for name, verdicts in others.items():
        told(name, verdicts)
    told("all others", [verdict for verdicts in others.values() for verdict in verdicts])
    if not arguments.others:
        print("no folder of other pictures was named (--others): only those made here were tried")


def track_of(inputs: Pixels) -> Iterator[Pixels]:
    """The inputs, with a bar on stderr."""
    yield from track(list(inputs), "judging", console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    main()
