"""Measures the search for burnt-in text: films that are warned of, and planted text that is found.

    XEMPLAR_DATA=/path/to/data python -m benchmarks.burnt_in_text --sheet build/text.png

The films of `val` and the first half of `originals` chose the settings; counted are films of `test`
and `box`, and text planted into the other half in fonts that were not used either. Whether a film
that is warned of has text must be seen: `--sheet` shows all of them.
"""

import argparse
import csv
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from xemplar.imaging import DISPLAY_SIDE
from xemplar.imaging.burnt_in_text import TextBox, text_boxes

T = TypeVar("T")
Grey = npt.NDArray[np.uint8]

FONTS = ("STIXGeneral.ttf", "STIXGeneralBol.ttf", "cmss10.ttf", "cmtt10.ttf")
SIZES = (8, 10, 12, 16, 24, 40)
TEXTS = (
    "MUELLER, ANNA",
    "Smith Peter J",
    "*24.11.1957",
    "PID 7781034",
    "2021/06/30 14:05",
    "Ward 7B",
)
PLACES = {
    "corner": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "edge": ((0, 0.5), (1, 0.5)),
    "middle": ((0.5, 0.5),),
}
SHADES = (255, 220, 0)
VISIBLE = 70
"""Least difference in grey between text and what it covers; less can hardly be read."""
EACH = 6
"""Texts of each size and kind of place."""
TILE = 320


class Planted(NamedTuple):
    """A film with text, and where that is in pixels: left, top, right, bottom."""

    image: Grey
    box: tuple[int, int, int, int]


def chosen(generator: np.random.Generator, options: Sequence[T]) -> T:
    """Choose one at random."""
    return options[generator.integers(len(options))]


def plant(film: Grey, generator: np.random.Generator, size: int, place: str) -> Planted | None:
    """Write a random text; None where it could hardly be seen."""
    path = Path(mpl.get_data_path()) / "fonts/ttf" / chosen(generator, FONTS)
    font, text = ImageFont.truetype(str(path), size), chosen(generator, TEXTS)
    shade = chosen(generator, SHADES)
    inner = font.getbbox(text)
    down, across = chosen(generator, PLACES[place])
    height, width = film.shape
    left = round(8 + across * (width - inner[2] - 16))
    top = round(8 + down * (height - inner[3] - 16))
    box = left + int(inner[0]), top + int(inner[1]), left + int(inner[2]), top + int(inner[3])
    if abs(float(np.median(film[box[1] : box[3], box[0] : box[2]])) - shade) < VISIBLE:
        return None
    picture = Image.fromarray(film)
    ImageDraw.Draw(picture).text((left, top), text, fill=shade, font=font)
    return Planted(np.asarray(picture), box)


def covered(found: tuple[TextBox, ...], planted: Planted) -> float:
    """Share of the planted text's area that the boxes cover."""
    height, width = planted.image.shape
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in found:
        rows = slice(int(top * height), int(np.ceil(bottom * height)))
        mask[rows, int(left * width) : int(np.ceil(right * width))] = True
    left, top, right, bottom = planted.box
    return float(mask[top:bottom, left:right].mean())


def films(root: Path, splits: tuple[str, ...], count: int, seed: int) -> list[Path]:
    """Choose films of some splits."""
    with (root / "nih14" / "labels.csv").open() as table:
        names = [row["file"] for row in csv.DictReader(table) if row["split"] in splits]
    order = np.random.default_rng(seed).permutation(len(names))[:count]
    return [root / "nih14" / names[at] for at in order]


def read(path: Path) -> Grey:
    """Read a film as the service would show it."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None, path
    assert max(image.shape) <= DISPLAY_SIDE
    return np.asarray(image, np.uint8)


def outlined(image: Grey, found: tuple[TextBox, ...]) -> npt.NDArray[np.uint8]:
    """Draw boxes onto a film."""
    shown = cv2.resize(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), (TILE, TILE))
    for box in found:
        left, top, right, bottom = (round(edge * TILE) for edge in box)
        cv2.rectangle(shown, (left, top), (right, bottom), (0, 0, 255))
    return np.asarray(shown, np.uint8)


def sheet(tiles: list[npt.NDArray[np.uint8]], columns: int = 6) -> npt.NDArray[np.uint8]:
    """Lay tiles out in rows."""
    blank = [np.zeros((TILE, TILE, 3), np.uint8)] * (-len(tiles) % columns)
    laid = tiles + blank
    rows = [np.hstack(laid[at : at + columns]) for at in range(0, len(laid), columns)]
    return np.asarray(np.vstack(rows), np.uint8)


def main() -> None:
    """Print how many films are warned of, and what is found of planted text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=500)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    root = Path(os.environ["XEMPLAR_DATA"])
    originals = sorted((root / "originals").glob("*.png"))[20:]
    warned = []
    for name, paths in {
        f"{asked.films} films of 320 px": films(root, ("test", "box"), asked.films, seed=58),
        f"{len(originals)} films of 1,024 px": originals,
    }.items():
        began, count = 0.0, 0
        for path in paths:
            film = read(path)
            start = time.process_time()
            found = text_boxes(film)
            began += time.process_time() - start
            if found:
                count += 1
                warned.append(outlined(film, found))
        print(f"{name}: {count} warned of; {1000 * began / len(paths):.1f} ms of a processor each")
    if asked.sheet and warned:
        cv2.imwrite(str(asked.sheet), sheet(warned))
    clean = [film for film in map(read, originals) if not text_boxes(film)]
    generator, told = np.random.default_rng(58), defaultdict(list)
    for size in SIZES:
        for place in PLACES:
            while len(told[size, place]) < EACH:
                planted = plant(chosen(generator, clean), generator, size, place)
                if planted is not None:
                    told[size, place].append(covered(text_boxes(planted.image), planted))
    print("size  " + "  ".join(f"{place:>8}" for place in PLACES) + "  covered")
    for size in SIZES:
        shares = [told[size, place] for place in PLACES]
        found_shares = [f"{np.mean(np.array(one) > 0):8.0%}" for one in shares]
        whole = np.array([share for one in shares for share in one if share > 0])
        print(
            f"{size:4d}  " + "  ".join(found_shares) + f"  {whole.mean() if len(whole) else 0:7.0%}"
        )


if __name__ == "__main__":
    main()
