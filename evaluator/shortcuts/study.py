"""Shortcut study, from evaluation data to a section of the report."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..auc import GUESSING, Judge, Scores
from ..data import EvaluationData, unrelated_cases
from ..section import Cell, Estimate, Section, Table
from . import pictures
from .identity import identity, identity_sentence, identity_table
from .masks import (
    BORDER_WIDTH,
    CORNER_SIDE,
    CORNERS,
    Mask,
    masked_logits,
    masks,
)
from .probes import (
    EMBEDDING_C,
    PEOPLE_C,
    embedding_probes,
    people_scores,
)

WHOLE, PEOPLE = "the whole image", "no image: view, sex and age"

LIMIT = 0.55
"""Highest acceptable mean AUC of the corners alone: nothing of the lungs lies there."""


@dataclass(frozen=True, eq=False)
class Row:
    """Scores of the images by a part of what is known: a mask, or no image at all.

    Attributes:
        name: what it sees.
        scores: float (N, F).
        columns: of the findings that it can be judged on.
        auc: their mean AUC.
        less: that minus the whole image's, over the same findings; None for the whole image.
    """

    name: str
    scores: Scores
    columns: Sequence[int]
    auc: Estimate
    less: Estimate | None


def shortcuts(
    data: EvaluationData, work: Path, on_progress: Callable[[int], None] = lambda _: None
) -> Section:
    """Measures the AUC from parts of an image without findings, and from view, sex and age.

    Args:
        data: images and indexed cases.
        work: folder for what is finished of the masked images (`masked_logits`).
        on_progress: called with the number of images done.

    Raises:
        DatasetError: no finding is both present and absent among the images.
    """
    judge = Judge.of(data)
    rows = _rows(data, judge, work, on_progress)
    probes, left_out = embedding_probes(data)
    known = identity(data)
    return Section(
        name="shortcuts",
        title="Shortcuts: what does the network read that is no finding?",
        summary=f"{_summary(rows, probes)} {identity_sentence(known)}".strip(),
        text=_text(data, judge, rows),
        tables=(
            _images_table(rows, masks(data.encoder.checkpoint.card.spec.size)),
            _splits_table(data, judge, rows),
            _probes_table(probes, left_out),
            identity_table(known),
            _findings_table(judge, rows),
        ),
        pictures=(
            pictures.masked_image(data, WHOLE),
            pictures.aucs([(row.name, row.auc) for row in rows], CORNERS, LIMIT),
        ),
        settings={
            "side of a corner, as a share of the input's": CORNER_SIDE,
            "width of the border, likewise": BORDER_WIDTH,
            "limit of the corners' mean AUC": LIMIT,
            "C of the regressions on the embedding": EMBEDDING_C,
            "C of the regressions on view, sex and age": PEOPLE_C,
            "findings left out, as all or none of the images have them": _unjudged(judge),
            "bootstrap resamples, over patients": data.settings.resamples,
            "seed": data.settings.seed,
        },
    )


def _rows(
    data: EvaluationData, judge: Judge, work: Path, on_progress: Callable[[int], None]
) -> list[Row]:
    """Scores the whole image, each mask, and view, sex and age where they are known."""
    queries, columns = data.queries, judge.truth.judged
    masked = masked_logits(queries.inputs, data.encoder, work, on_progress)
    rows = [Row(WHOLE, queries.logits, columns, judge.mean(queries.logits, columns), None)]
    people, fitted = people_scores(data, judge)
    others = [(name, logits, columns) for name, logits in masked.items()]
    for name, scores, judged in (*others, (PEOPLE, people, fitted)):
        if judged:
            less = judge.difference(scores, queries.logits, judged)
            rows.append(Row(name, scores, judged, judge.mean(scores, judged), less))
    return rows


def _images_table(rows: Sequence[Row], shown: Mapping[str, Mask]) -> Table:
    share = {WHOLE: 1.0} | {name: float(mask.mean()) for name, mask in shown.items()}
    return Table(
        "shortcuts-images",
        "Mean AUC by what the network sees",
        (
            *("what it sees", "share of the image", "mean AUC", "minus the whole image's"),
            *("limit", "chance", "findings"),
        ),
        [
            [
                *(row.name, share.get(row.name), row.auc, row.less),
                *(LIMIT if row.name == CORNERS else None, GUESSING, len(row.columns)),
            ]
            for row in rows
        ],
        "Everything else is black. Each corner is a square of one fifth of the input's side, the "
        f"border a tenth wide. Differences are of the same images and findings. {PEOPLE!r} is a "
        "logistic regression fitted on the indexed cases; the network takes no part in it. "
        "Intervals are over patients.",
    )


def _splits_table(data: EvaluationData, judge: Judge, rows: Sequence[Row]) -> Table:
    """Tabulates the mean AUC in each split apart, over its findings that can be judged."""
    lines: list[list[Cell]] = []
    for part, members in list(data.parts.items())[1:]:  # the first is all of them together
        among = judge.among(members)
        for row in rows:
            columns = [column for column in row.columns if column in among.truth.judged]
            auc = among.mean(row.scores[members], columns) if columns else None
            lines.append([part, row.name, auc, GUESSING, len(columns)])
    return Table(
        "shortcuts-splits",
        "Mean AUC by what the network sees, in each split apart",
        ("images", "what it sees", "mean AUC", "chance", "findings"),
        lines,
        "Intervals are over patients.",
    )


def _probes_table(probes: Sequence[Sequence[Cell]], left_out: Sequence[str]) -> Table:
    missing = (
        f" Left out, because unknown or the same for all: {', '.join(left_out)}."
        if left_out
        else ""
    )
    return Table(
        "shortcuts-probes",
        "What the embedding tells beside findings",
        ("what is told", "AUC", "chance", "indexed cases fitted on", "images"),
        probes,
        "Logistic regressions on the embedding, fitted on indexed cases of other patients."
        f"{missing} The source is not probed: an evaluation is of one data set.",
    )


def _findings_table(judge: Judge, rows: Sequence[Row]) -> Table:
    """Tabulates every finding by mask; a CSV file only."""
    truth = judge.truth
    return Table(
        "shortcuts-findings",
        "AUC of every finding by what the network sees",
        ("finding", "images with it", "images", "chance", *(row.name for row in rows)),
        [
            [
                truth.findings[column],
                int((truth.present & truth.known)[:, column].sum()),
                int(truth.known[:, column].sum()),
                GUESSING,
                *(judge.finding(r.scores, column) if column in r.columns else None for r in rows),
            ]
            for column in truth.judged
        ],
        "Intervals are over patients.",
        shown=False,
    )


def _summary(rows: Sequence[Row], probes: Sequence[Sequence[Cell]]) -> str:
    auc = {row.name: row.auc for row in rows}
    sentences = [
        f"From {CORNERS} the mean AUC is {auc[CORNERS]}, {_verdict(auc[CORNERS])}; the "
        f"whole image gives {auc[WHOLE]}, guessing 0.5."
    ]
    if PEOPLE in auc:
        sentences.append(f"View, sex and age without an image give {auc[PEOPLE]}.")
    for what, found, *_ in probes:
        if isinstance(found, Estimate):
            sentences.append(f"The embedding tells {what} with an AUC of {found}.")
    return " ".join(sentences)


def _verdict(corners: Estimate) -> str:
    """Compares the interval with the limit, in words."""
    if corners.low is None or corners.high is None:
        return f"of too few patients to compare with the limit of {LIMIT}"
    if corners.high <= LIMIT:
        return f"within the limit of {LIMIT}"
    if corners.low > LIMIT:
        return f"above the limit of {LIMIT}"
    return f"which may lie below or above the limit of {LIMIT}"


def _text(data: EvaluationData, judge: Judge, rows: Sequence[Row]) -> tuple[str, ...]:
    """Writes the paragraphs: question, meaning of each row, and what that does not prove."""
    corners = next(row.auc for row in rows if row.name == CORNERS)
    return (
        f"The network predicted the {len(judge.truth.judged)} findings that some of the "
        f"{len(data.queries)} images have and some have not, from less than the image: the "
        "corners and the border, where markers, writing and the collimator are and hardly any "
        "lung, and the image without them. An AUC above 0.5 from corners or border alone says that "
        "something there gives findings away. The fall without them says how much the network "
        f"relies on that. The corners alone reach {corners}, {_verdict(corners)}.",
        "View, sex and age show no lung. What they give alone is what a network could score "
        "without looking for any finding; what the embedding tells of view and sex is what "
        "it could use for that. That it can does not prove that it does.",
        "What this does not prove: that what remains is read from findings, as devices, posture "
        "and exposure lie within the middle of the image. Images with black parts do not occur in "
        "practice, and a network may answer to their strangeness.",
        *_missing(data, judge, rows),
    )


def _missing(data: EvaluationData, judge: Judge, rows: Sequence[Row]) -> Iterator[str]:
    """Yields what could not be measured, and why."""
    if unjudged := _unjudged(judge):
        yield f"Left out, as all or none of the images have them: {', '.join(unjudged)}."
    people = next((row for row in rows if row.name == PEOPLE), None)
    if not unrelated_cases(data):
        yield (
            "All indexed cases are of evaluated patients, so no regression could be fitted; index "
            "images of others."
        )
    elif people is None:
        yield (
            "Nothing was fitted to view, sex and age: they are unknown here, or no finding is both "
            "present and absent among the indexed cases."
        )
    elif lacking := [p for p in judge.truth.judged if p not in people.columns]:
        names = ", ".join(judge.truth.findings[column] for column in lacking)
        yield (
            f"The row {PEOPLE!r} is without {names}, which all or none of the indexed cases have."
        )


def _unjudged(judge: Judge) -> list[str]:
    truth = judge.truth
    return [name for column, name in enumerate(truth.findings) if column not in truth.judged]
