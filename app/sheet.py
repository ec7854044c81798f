"""Contact sheet of an answer: query and neighbours, with Grad-CAM and similarity evidence."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from xemplar.api import NOTICE
from xemplar.archive.media import Media
from xemplar.retrieval import render
from xemplar.retrieval.result import Answer
from xemplar.retrieval.snapshot import Snapshot

TILE, GAP, LINE = 240, 8, 18
INK, PAPER, FAINT = (235, 235, 235), (18, 18, 20), (150, 150, 155)


def sheet(live: Snapshot, media: Media, answer: Answer) -> bytes:
    """Render a JPEG with a column for the query and one for each neighbour.

    Rows: the image; its Grad-CAM for the explained finding; the neighbour's similarity evidence;
    the query's evidence for that neighbour.
    """
    probable = max(answer.predictions, key=lambda p: p.probability)
    explained = next(p for p in answer.predictions if p.finding == answer.explained)
    columns = [
        (
            [
                "Query",
                f"most probable: {_name(probable.finding)} {probable.probability:.2f}",
                f"explained: {_name(explained.finding)} {explained.probability:.2f}",
            ],
            [render.query_image(answer), render.query_overlay(live, answer, side=TILE)],
        )
    ]
    for near in answer.neighbours:
        case = near.case
        about = " ".join(str(v) for v in (case.sex, case.age, case.view) if v is not None)
        columns.append(
            (
                [
                    f"{near.rank}. similarity {near.similarity:.3f}",
                    ", ".join(map(_name, case.findings)) or "not labelled",
                    about,
                ],
                [
                    media.display_bytes(case.image_sha256),
                    render.case_overlay(live, media, case, answer.explained, TILE),
                    render.case_evidence(live, media, answer, case, TILE),
                    render.query_evidence(live, answer, case, TILE),
                ],
            )
        )
    return _draw(columns, ("image", "Grad-CAM", "evidence: case", "evidence: query"))


def _name(finding: str) -> str:
    return finding.replace("_", " ")


def _draw(columns: Sequence[tuple[Sequence[str], Sequence[bytes]]], rows: Sequence[str]) -> bytes:
    top, left = 3 * LINE + GAP, 20
    size = (
        left + len(columns) * (TILE + GAP),
        top + len(rows) * (TILE + GAP) + LINE,
    )
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    font, small = ImageFont.load_default(14), ImageFont.load_default(12)
    for column, (lines, tiles) in enumerate(columns):
        x = left + column * (TILE + GAP)
        for number, line in enumerate(lines):
            draw.text((x, number * LINE), line[:38], INK if number == 0 else FAINT, font)
        for row, tile in enumerate(tiles):
            image = Image.open(io.BytesIO(tile)).convert("RGB")
            image.thumbnail((TILE, TILE))
            picture.paste(image, (x, top + row * (TILE + GAP)))
    for row, label in enumerate(rows):
        text = Image.new("RGB", (TILE, left - 4), PAPER)
        ImageDraw.Draw(text).text((0, 0), label, FAINT, small)
        picture.paste(text.rotate(90, expand=True), (0, top + row * (TILE + GAP)))
    draw.text((left, size[1] - LINE), NOTICE, INK, font)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return file.getvalue()
