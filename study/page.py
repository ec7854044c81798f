"""An inspection as one HTML file: the overview, a contact sheet, pairs of duplicates.

It needs no network and runs no script. It shows patients' images, and names no file of theirs.
"""

import base64
from collections.abc import Sequence
from html import escape

from xemplar.data.datasets import DatasetImage

from .inspection import Inspection
from .overview import Part, overview
from .pictures import Picture, spread

TILES = 60
"""Images on the contact sheet."""

PAIRS = 12
"""Pairs of duplicates that are shown."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #6b6b6b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a6a6a6; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem; }
p { max-width: 46rem; } .quiet, figcaption { color: var(--quiet); font-size: .8rem; }
.bad { border-left: 4px solid var(--bad); padding-left: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .7rem; text-align: left; }
.scroll { overflow-x: auto; }
.sheet { display: flex; flex-wrap: wrap; gap: .6rem; } figure { margin: 0; width: 112px; }
img { width: 112px; height: 112px; background: #000; }
pre { white-space: pre-wrap; border: 1px solid var(--line); padding: .7rem; }
"""


def page(title: str, notice: str, body: str) -> str:
    """Write a page in the style of all of them.

    Args:
        title: heading.
        notice: line below it.
        body: HTML.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>xemplar: {escape(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="quiet">{escape(notice)}</p>\n<main>\n{body}\n'
        "</main></body></html>\n"
    )


def section(part: Part) -> str:
    """Write a part of an overview."""
    kind = ' class="bad"' if part.alarming else ""
    said = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in part.sentences)
    table = ""
    if part.rows:
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in part.columns)
        rows = "\n".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in part.rows
        )
        table = (
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{rows}</tbody></table></div>\n"
        )
    return f"<section{kind}><h2>{escape(part.title)}</h2>\n{said}{table}</section>\n"


def inspection_page(seen: Inspection) -> str:
    """Write an inspection."""
    names = ", ".join(folder.root.resolve().name for folder in seen.folders)
    notice = (
        "Research use, not for diagnosis. Nothing in the folder was changed. This page shows "
        "patients' images: keep it as you keep them."
    )
    body = "".join(map(section, overview(seen))) + _pairs(seen) + _sheet(seen)
    return page(f"Inspection of {names}", notice, body)


def _sheet(seen: Inspection) -> str:
    if not seen.pictures:
        return ""
    shown = [seen.pictures[place] for place in spread(len(seen.pictures), TILES)]
    tiles = "\n".join(_tile(one, seen.images[one.index], seen) for one in shown)
    return (
        f'<section><h2>Contact sheet</h2><p class="quiet">{len(shown)} of {len(seen.facts):,} '
        f'images, as the network sees them.</p><div class="sheet">{tiles}</div></section>\n'
    )


def _pairs(seen: Inspection) -> str:
    """Show near-duplicates side by side, those in two splits first."""
    by_index = {picture.index: picture for picture in seen.pictures}
    pairs = sorted(
        seen.near,
        key=lambda pair: (
            seen.split_of(seen.images[pair.one]) == seen.split_of(seen.images[pair.other])
        ),
    )[:PAIRS]
    if not pairs:
        return ""
    tiles = "\n".join(
        _tile(by_index[index], seen.images[index], seen)
        for pair in pairs
        for index in (pair.one, pair.other)
    )
    return f'<section><h2>Near-duplicates</h2><div class="sheet">{tiles}</div></section>\n'


def _tile(picture: Picture, image: DatasetImage, seen: Inspection) -> str:
    data = base64.b64encode(picture.thumbnail).decode()
    facts = _caption(picture, image, seen)
    return (
        f'<figure><img alt="radiograph: {escape(facts, quote=True)}" '
        f'src="data:image/jpeg;base64,{data}"><figcaption>{escape(facts)}</figcaption></figure>'
    )


def _caption(picture: Picture, image: DatasetImage, seen: Inspection) -> str:
    age = image.age if image.age is not None else picture.age
    told: Sequence[str | None] = (
        seen.split_of(image),
        image.view or picture.view,
        image.sex or picture.sex,
        None if age is None else str(age),
        f"{picture.size[0]} x {picture.size[1]}",
    )
    return ", ".join(fact for fact in told if fact)
