"""Maps of an older and the present checkpoint on the same eight boxed images, a picture each.

From left to right: the image with the radiologists' boxes of one finding; Grad-CAM of that finding
by the older checkpoint, and by the present one; the three nearest indexed cases of other patients
by the present one. Colours are relative to each map's own maximum; a map that is zero everywhere
is called blank.

No image is chosen by its result: for each of NIH's eight boxed findings it is the first one, by
name, that has a box with that label and lies in a split that an evaluation asks for. An image that
has served for one finding is passed over for the next.

    python -m benchmarks.before_after nih14 --store archive --before old.safetensors --out pictures

Needs `pip install 'xemplar[evaluate]'`. The pictures show images: do not publish them where the
images may not be.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.progress import track
from xemplar_evaluator.drawing import BOX
from xemplar_evaluator.loading import EvaluationSource
from xemplar_evaluator.settings import EvaluationSettings

from xemplar.archive.artefact import new_folder
from xemplar.archive.store import Store
from xemplar.catalog import Case, case_id_of
from xemplar.data.boxes import CORRESPONDING, Box, DrawnBox, place_boxes, read_boxes, rows_of
from xemplar.data.datasets import DatasetImage, open_dataset
from xemplar.data.findings import canonical, finding_index
from xemplar.errors import DatasetError
from xemplar.imaging import Radiograph, decode
from xemplar.imaging.overlay import jpeg, overlay, shrink
from xemplar.imaging.preprocess import preprocess
from xemplar.model.checkpoint import default_checkpoint, load
from xemplar.model.densenet import Features
from xemplar.model.encoder import Encoder, open_encoder
from xemplar.model.explain import grad_cam
from xemplar.retrieval.retriever import Retriever

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration"),
    *("Mass", "Nodule", "Pneumonia", "Pneumothorax"),
)
"""Findings that NIH's radiologists boxed (BBox_List_2017)."""

NEIGHBOURS = 3
TILE, GAP, LINE = 320, 8, 18
INK, FAINT, PAPER = (235, 235, 235), (150, 150, 155), (18, 18, 20)

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Chosen:
    """An image, and the boxes of one finding on it, as the box file has them."""

    finding: str
    image: DatasetImage
    boxes: tuple[DrawnBox, ...]


@dataclass(frozen=True)
class Panel:
    """One tile: grey or RGB, its captions, and the boxes drawn on it."""

    picture: Grey
    captions: Sequence[str]
    boxes: Sequence[Box] = ()


def choose(images: Sequence[DatasetImage], drawn: Sequence[DrawnBox]) -> list[Chosen]:
    """The image of each finding, by the rule above; no image is opened.

    Raises:
        DatasetError: a finding without such an image.
    """
    rows = rows_of(drawn, images)
    chosen: dict[int, Chosen] = {}
    for finding in FINDINGS:
        # a label that only stands in for the finding (RSNA's "Lung Opacity") is none of NIH's
        named = [
            (row, box)
            for row, box in zip(rows, drawn, strict=True)
            if row is not None
            and finding == CORRESPONDING.get(box.label, (canonical(box.label),))[0]
            and row not in chosen
        ]
        if not named:
            raise DatasetError(f"no image of the evaluated splits has a box of {finding}")
        first = min((row for row, _ in named), key=lambda row: images[row].file or "")
        boxes = tuple(box for row, box in named if row == first)
        chosen[first] = Chosen(finding, images[first], boxes)
    return list(chosen.values())


def panels(one: Chosen, retriever: Retriever, before: Encoder, store: Store) -> list[Panel]:
    """The tiles of one picture, from left to right."""
    radiograph = decode(one.image.path.read_bytes())
    image = shrink(radiograph.pixels, TILE)
    shape = np.array([radiograph.source_size])
    boxes = place_boxes(one.boxes, [one.image], shape, [one.finding])[0]
    name = one.finding.replace("_", " ")
    now = encoded(retriever.encoder, radiograph)
    return [
        Panel(image, (f"query {case_id_of(radiograph.sha256)}", f"box: {name}"), boxes),
        explained("before", before, encoded(before, radiograph), image, one.finding, boxes),
        explained("now", retriever.encoder, now, image, one.finding, boxes),
        *nearest(retriever, store, one.image, now.embedding[0]),
    ]


def encoded(encoder: Encoder, radiograph: Radiograph) -> Features:
    """Encodes one image."""
    return encoder.encode(preprocess(radiograph, encoder.checkpoint.card.spec)[None])


def explained(
    when: str,
    encoder: Encoder,
    features: Features,
    image: Grey,
    finding: str,
    boxes: Sequence[Box],
) -> Panel:
    """Grad-CAM of the finding over the image, whatever the network's probability of it."""
    checkpoint = encoder.checkpoint
    place = finding_index(checkpoint.card.findings, finding)
    heatmap = grad_cam(features.maps, checkpoint.weights["classifier.weight"])[0, place]
    probability = checkpoint.probabilities(features.logits[0])[place]
    said = f"blank map ({probability:.2f})" if not heatmap.any() else f"says {probability:.2f}"
    picture = overlay(image, heatmap, checkpoint.card.spec, side=TILE)
    return Panel(picture, (f"Grad-CAM {when} ({checkpoint.digest[:8]})", said), boxes)


def nearest(
    retriever: Retriever, store: Store, image: DatasetImage, embedding: npt.NDArray[np.float32]
) -> list[Panel]:
    """The nearest indexed cases of other patients, with cosine and findings."""
    own: tuple[int, ...] = ()
    if image.patient is not None:
        own = retriever.catalog.patient_ids(store.pseudonym(image.source, image.patient))
    hits = retriever.generation.search(embedding, NEIGHBOURS, own)
    cases: Mapping[int, Case] = retriever.catalog.cases(hits.ids.tolist())
    return [
        Panel(
            shrink(retriever.media.display(cases[number].image_sha256), TILE),
            (f"{rank}: cosine {cosine:.3f}", ", ".join(cases[number].findings) or "not labelled"),
        )
        for rank, (number, cosine) in enumerate(
            zip(hits.ids.tolist(), hits.similarity, strict=True), start=1
        )
    ]


def sheet(tiles: Sequence[Panel]) -> Grey:
    """The tiles side by side under their captions, RGB."""
    top = 2 * LINE + GAP
    picture = Image.new("RGB", (len(tiles) * (TILE + GAP) - GAP, top + TILE), PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for number, tile in enumerate(tiles):
        x = number * (TILE + GAP)
        height, width = tile.picture.shape[:2]
        picture.paste(Image.fromarray(tile.picture).convert("RGB"), (x, top))
        for line, text in enumerate(tile.captions):
            draw.text((x, line * LINE), text.replace("_", " ")[:44], FAINT if line else INK, font)
        for box in tile.boxes:
            across = [x + edge * width for edge in (box.left, box.right)]
            down = [top + edge * height for edge in (box.top, box.bottom)]
            draw.rectangle((across[0], down[0], across[1], down[1]), outline=BOX, width=2)
    return np.asarray(picture)


def main() -> None:
    """Choose the images, draw a picture of each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="data set with boxes")
    parser.add_argument("--store", type=Path, required=True, help="indexed by the present one")
    parser.add_argument("--before", type=Path, required=True, help="the older checkpoint")
    parser.add_argument("--checkpoint", type=Path, default=default_checkpoint())
    parser.add_argument("--boxes", type=Path, help="box file, if it lies elsewhere")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the pictures")
    arguments = parser.parse_args()
    store, dataset = Store(arguments.store), open_dataset(arguments.data)
    box_file = EvaluationSource(dataset, store, boxes=arguments.boxes).box_file
    if box_file is None:
        raise DatasetError(f"{dataset.root} has no box file; name one with --boxes")
    splits, rule = EvaluationSettings().splits, load(arguments.checkpoint).card.split
    images = [f for f in dataset.images if f.is_frontal and rule.of(f) in splits]
    retriever = Retriever.open(arguments.checkpoint, store)
    before = open_encoder(load(arguments.before))
    chosen = choose(images, read_boxes(box_file))
    with new_folder(arguments.out) as out:
        for one in track(chosen, "drawing", console=Console(stderr=True)):
            picture = sheet(panels(one, retriever, before, store))
            (out / f"{one.finding}.jpg").write_bytes(jpeg(picture))
    retriever.close()
    print(f"{len(chosen)} pictures in {arguments.out}")


if __name__ == "__main__":
    main()
