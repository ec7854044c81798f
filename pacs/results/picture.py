"""An answer as one picture, for an archive's viewer: laid out and coloured as the web page is.

Only what an answer says is drawn. No date, name or id of the patient is: viewers overlay these
themselves, and burnt into pixels they could not be removed.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

import xemplar
from xemplar.api import NOTICE
from xemplar.archive.media import Media
from xemplar.imaging.overlay import heat_colours, overlay, shrink
from xemplar.model.calibration import STRONG_ODDS
from xemplar.retrieval import render
from xemplar.retrieval.result import Answer, Neighbour, Prediction
from xemplar.retrieval.snapshot import Snapshot

from .region import heat_box

WIDTH, MARGIN, GAP, BAR, TOP = 1600, 24, 16, 56, 76
BETWEEN = 40
"""Gap in pixels between the query's column and the cases."""

QUERY = 560
"""Side in pixels of the query's picture, and width of the column under it."""

ACROSS = 3
"""Cases beside one another."""

CASE = (WIDTH - 2 * MARGIN - QUERY - BETWEEN - (ACROSS - 1) * GAP) // ACROSS
CAPTION = 140
"""Height in pixels of the text under a case."""

GROUND, PANEL, LINE, BLACK = "#0c0f13", "#14191f", "#2e3843", "#000000"
INK, FAINT, ACCENT, WARN = "#e4e9ee", "#a3afbb", "#7cc0ee", "#f0b75a"
"""Colours of the page's dark theme."""

Pixels = npt.NDArray[np.uint8]


def answer_picture(live: Snapshot, media: Media, answer: Answer) -> Pixels:
    """Draw the query with its findings, and each similar case, with Grad-CAM on one scale.

    Args:
        live: the snapshot that gave the answer.
        media: the stored images of its cases.
        answer: to draw.

    Returns:
        uint8 (height, 1600, 3), RGB; the height depends on the number of cases.
    """
    return _Sheet(live, media, answer).draw()


def drawable(text: str) -> str:
    """Write a text with the letters that the font has: ASCII; accents are dropped."""
    plain = unicodedata.normalize("NFKD", text.replace("_", " "))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in plain)


def percent(share: float) -> str:
    """Write a share in [0, 1] as the page does."""
    return "< 1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"


class _Sheet:
    """The picture while it is drawn, top down; ``_image`` is replaced once the height is known."""

    def __init__(self, live: Snapshot, media: Media, answer: Answer) -> None:
        self._live, self._media, self._answer = live, media, answer
        self._maps = render.maps(live, answer)
        self._most = render.strong(live, answer.explained)
        self._fonts = {size: ImageFont.load_default(size) for size in (16, 18, 22, 26)}

    def draw(self) -> Pixels:
        answer, across = self._answer, WIDTH - 2 * MARGIN
        warnings = self._wrapped([f"Warning: {one}." for one in answer.warnings], 18, across)
        notes = self._wrapped(self._notes(), 16, across)
        sections = [("Most similar cases", answer.neighbours)]
        if answer.counter_examples:
            name = drawable(answer.explained)
            sections.append((f"Most similar without {name}", answer.counter_examples))
        rows = sum(-(-len(cases) // ACROSS) for _, cases in sections)
        top = TOP + 26 * len(warnings)
        right = top + 34 + len(sections) * 44 + rows * (CASE + CAPTION + GAP)
        left = top + 40 + QUERY + 56 + 30 * len(answer.predictions)
        foot = max(left, right)
        height = foot + 24 * (len(notes) + 1) + BAR
        self._image = Image.new("RGB", (WIDTH, height), GROUND)
        self._pen = ImageDraw.Draw(self._image)
        self._bar(0)
        for number, warning in enumerate(warnings):
            self._text(MARGIN, TOP - 6 + 26 * number, warning, 18, WARN)
        self._query(MARGIN, top)
        x, y = MARGIN + QUERY + BETWEEN, top
        self._legend(x, y)
        y += 34
        for title, cases in sections:
            y = self._cases(title, cases, x, y)
        for number, note in enumerate(notes):
            self._text(MARGIN, foot + 12 + 24 * number, note, 16, FAINT)
        self._bar(height - BAR)
        return np.asarray(self._image)

    def _text(
        self, x: float, y: float, text: str, size: int, colour: str = INK, anchor: str = "la"
    ) -> float:
        """Write a line and return its width in pixels."""
        self._pen.text((x, y), text, colour, self._fonts[size], anchor)
        return self._fonts[size].getlength(text)

    def _fitted(self, text: str, size: int, width: float) -> str:
        """Shorten a text to a width in pixels."""
        font = self._fonts[size]
        if font.getlength(text) <= width:
            return text
        while text and font.getlength(text + "...") > width:
            text = text[:-1]
        return text + "..."

    def _wrapped(self, texts: Sequence[str], size: int, width: float) -> list[str]:
        """Break texts into lines of a width in pixels."""
        lines: list[str] = []
        for text in texts:
            lines.append("")
            for word in drawable(text).split():
                longer = f"{lines[-1]} {word}".strip()
                if self._fonts[size].getlength(longer) <= width:
                    lines[-1] = longer
                else:
                    lines.append(self._fitted(word, size, width))
        return lines

    def _bar(self, y: int) -> None:
        """Draw a bar across the picture, with the notice: at its top, and again at its end."""
        self._pen.rectangle((0, y, WIDTH, y + BAR), PANEL)
        edge = y + BAR - 1 if y == 0 else y
        self._pen.line((0, edge, WIDTH, edge), LINE)
        x = MARGIN + self._text(MARGIN, y + 28, f"xemplar {xemplar.__version__}", 22, anchor="lm")
        x += 24
        notice = NOTICE.upper()
        width = self._fonts[22].getlength(notice)
        box = (x, y + 10, x + width + 36, y + 46)
        self._pen.rounded_rectangle(box, 18, outline=WARN, width=2)
        self._text(x + 18, y + 28, notice, 22, WARN, "lm")
        about = "Similar past cases, and what the network finds. Not a report by a radiologist."
        self._text(WIDTH - MARGIN, y + 28, about, 18, FAINT, "rm")

    def _query(self, x: int, y: int) -> None:
        answer, name = self._answer, drawable(self._answer.explained)
        self._text(x, y, "This image", 26)
        heatmap = self._maps["query"]
        what = f"Grad-CAM: {name}" if heatmap is not None else f"{name}: not called, no map"
        self._text(x + QUERY, y + 4, what, 18, FAINT, "ra")
        y += 40
        place = self._picture(answer.image, heatmap, x, y, QUERY)
        if heatmap is not None:
            spec = self._live.checkpoint.card.spec
            box = heat_box(heatmap, spec, *answer.image.shape)
            if box is not None:
                left, top, width, height = place
                corners = (
                    left + box.left * width,
                    top + box.top * height,
                    left + box.right * width,
                    top + box.bottom * height,
                )
                # visible on black and on white, as the page's markers are
                self._pen.rectangle(corners, outline=BLACK, width=4)
                self._pen.rectangle(corners, outline=INK, width=2)
        y += QUERY + 18
        self._text(x, y, "Findings of the network", 22)
        for column, title in ((375, "probability"), (455, "usually"), (QUERY, "times usual")):
            self._text(x + column, y + 6, title, 16, FAINT, "ra")
        for number, prediction in enumerate(answer.predictions):
            self._finding(prediction, x, y + 38 + 30 * number)

    def _finding(self, one: Prediction, x: int, y: int) -> None:
        """Draw a line of the table: grey if no likelier than usual, a mark where calling begins."""
        colour = FAINT if one.standing == "usual" else INK
        if one.finding == self._answer.explained:
            self._pen.rounded_rectangle((x - 8, y - 3, x + QUERY + 8, y + 25), 6, outline=ACCENT)
        self._text(x, y, self._fitted(drawable(one.finding), 18, 200), 18, colour)
        left, width = x + 210, 90
        self._pen.rounded_rectangle((left, y + 7, left + width, y + 15), 4, LINE)
        reached = left + max(1.0, one.probability * width)
        self._pen.rectangle((left, y + 7, reached, y + 15), colour if colour == FAINT else ACCENT)
        if one.threshold is not None:
            mark = left + one.threshold * width
            self._pen.rectangle((mark - 1, y + 3, mark + 1, y + 19), INK)
        self._text(x + 375, y, percent(one.probability), 18, colour, "ra")
        if one.base_rate is not None:
            self._text(x + 455, y, percent(one.base_rate), 18, FAINT, "ra")
        if one.lift is not None:
            lift = f"{one.lift:.{1 if one.lift < 2.95 else 0}f}"
            self._text(x + QUERY, y, lift, 18, colour, "ra")

    def _legend(self, x: int, y: int) -> None:
        name = drawable(self._answer.explained)
        if not any(one is not None for one in self._maps.values()):
            text = f"{name} is called in none of the images, so no map is drawn."
            self._text(x, y + 4, text, 18, FAINT)
            return
        x += int(self._text(x, y + 4, "odds x 1", 18, FAINT)) + 8
        shares = np.linspace(0, 1, 140, dtype=np.float32)[None].repeat(14, axis=0)
        self._image.paste(Image.fromarray(heat_colours(shares)), (x, y + 6))
        x += 148
        x += int(self._text(x, y + 4, f"x {STRONG_ODDS}", 18, FAINT)) + 16
        drawn = sum(self._maps[near.case.case_id] is not None for near in self._answer.neighbours)
        text = f"What speaks for {name} (Grad-CAM), on the {drawn} cases where it is called."
        self._text(x, y + 4, self._fitted(text, 18, WIDTH - MARGIN - x), 18, FAINT)

    def _cases(self, title: str, cases: Sequence[Neighbour], x: int, y: int) -> int:
        """Draw a section of cases and return where the next one begins."""
        after = x + self._text(x, y, title, 26) + 12
        counted = f"of {self._answer.matched:,} that match"
        if cases and cases is self._answer.neighbours:
            self._text(after, y + 6, counted, 18, FAINT)
        elif not cases:
            self._text(after, y + 6, "none meets all conditions", 18, FAINT)
        y += 44
        for number, near in enumerate(cases):
            row, column = divmod(number, ACROSS)
            self._case(near, x + column * (CASE + GAP), y + row * (CASE + CAPTION + GAP))
        return y + -(-len(cases) // ACROSS) * (CASE + CAPTION + GAP)

    def _case(self, near: Neighbour, x: int, y: int) -> None:
        case = near.case
        heatmap = self._maps[case.case_id]
        box = (x - 1, y - 1, x + CASE, y + CASE + CAPTION)
        self._pen.rounded_rectangle(box, 6, PANEL, LINE)
        self._picture(self._media.display(case.image_sha256), heatmap, x, y, CASE)
        self._tag(x + 8, y + 8, str(near.rank))
        inside, y = x + 10, y + CASE + 8
        width = self._text(inside, y, f"{near.similarity:.3f}", 26)
        self._text(inside + width + 8, y + 7, "similarity", 18, FAINT)
        chance = f"closer than {percent(min(near.closer_than, 0.99))} of all cases"
        if near.chance is not None:
            chance = f"{near.chance * 100:.0f} of 100 such pairs share a finding"
        self._text(inside, y + 36, self._fitted(chance, 16, CASE - 20), 16, FAINT)
        findings = f"Report: {', '.join(map(drawable, case.findings)) or 'none'}"
        self._text(inside, y + 59, self._fitted(findings, 16, CASE - 20), 16)
        # in another colour: what the network reads is no report
        reading = f"Network: {drawable(self._answer.explained)} {percent(near.probability)}"
        self._text(inside, y + 81, self._fitted(reading, 16, CASE - 20), 16, ACCENT)
        about = " · ".join(filter(None, (case.view, drawable(case.source), case.case_id)))
        self._text(inside, y + 106, self._fitted(about, 16, CASE - 20), 16, FAINT)

    def _tag(self, x: int, y: int, text: str) -> None:
        text = self._fitted(text, 16, CASE - 70)
        width = self._fonts[16].getlength(text)
        self._pen.rounded_rectangle((x, y, x + width + 16, y + 28), 5, BLACK)
        self._text(x + 8, y + 14, text, 16, INK, "lm")

    def _picture(
        self, pixels: Pixels, heatmap: render.Map | None, x: int, y: int, side: int
    ) -> tuple[int, int, int, int]:
        """Draw an image in a black square, and return its place: left, top, width, height."""
        self._pen.rectangle((x, y, x + side - 1, y + side - 1), BLACK)
        if heatmap is None:
            drawn = shrink(pixels, side)
        else:
            spec = self._live.checkpoint.card.spec
            drawn = overlay(pixels, heatmap, spec, side=side, most=self._most)
        shown = ImageOps.contain(Image.fromarray(drawn).convert("RGB"), (side, side))
        left, top = x + (side - shown.width) // 2, y + (side - shown.height) // 2
        self._image.paste(shown, (left, top))
        return left, top, shown.width, shown.height

    def _notes(self) -> list[str]:
        """List what a reader has to know to read the numbers."""
        answer = self._answer
        notes = []
        if answer.archived_as is not None:
            notes.append(f"This image is in the index itself, as case {answer.archived_as}.")
        notes += [
            "Similarity is the cosine of the two images' embeddings, from -1 to 1; it is not a "
            "probability. A map is drawn of called findings alone; the frame encloses what reaches "
            "half of its maximum.",
        ]
        if (on := answer.population) is not None:
            notes.append(
                f"Probabilities are calibrated on {on.images:,} images of {on.source}; "
                f"usual is of {on.labelled:,} labelled images there."
            )
        if (pairs := answer.similarity_calibration) is not None:
            notes.append(
                f"Pairs that share a finding were counted on {pairs.images:,} images of "
                f"{pairs.source}."
            )
        notes.append(
            f"Network (sha256) {answer.checkpoint[:16]}, index generation {answer.generation}. "
            "Cases are named by opaque ids."
        )
        return notes
