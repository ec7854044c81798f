"""Ranking study, from evaluation data to a section of the report."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from xemplar.data.findings import NO_FINDING, positives
from xemplar.errors import DatasetError

from ..data import EvaluationData
from ..section import Estimate, Picture, Section, Table
from . import pictures
from .experts import (
    agreement_with_experts,
    expert_rows,
    rated_lists,
    read_ratings,
)
from .labels import (
    chance_table,
    difference_table,
    finding_table,
    measure,
    query_table,
    relevances,
    tables,
)
from .rankers import PIXELS, RANDOM, XEMPLAR
from .similarity import fit, pairs, reliability

EXPERT_PICTURES = 12


def ranking(
    data: EvaluationData,
    experts: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Section:
    """Measures the ranking by labels, by severity where known, and by experts.

    Args:
        data: images and indexed cases.
        experts: a ratings file (`evaluator.ranking.experts`), or None.
        on_progress: called with the number of queries done.

    Raises:
        DatasetError: no query has a finding, or the ratings file cannot be used.
    """
    if not any(set(positives(f.labels)) - {NO_FINDING} for f in data.queries.records):
        raise DatasetError(
            f"none of the {len(data.queries)} evaluated images has a finding in its labels, so "
            "no case can be relevant to it; evaluate a labelled data set"
        )
    rated = _experts(data, experts) if experts else ((), ())
    judged = relevances(data.queries, data.candidates, data.severity)
    figures = measure(data, judged, on_progress)
    by_labels = tables(data, judged, figures)
    better = difference_table(data, judged, figures)
    sure, drawn, documents = _similarity(data)
    return Section(
        name="ranking",
        title="Explanation by example: are the similar cases similar?",
        summary=_summary(by_labels[1], better),
        text=_text(data, sure),
        tables=(
            *rated[0],
            *by_labels,
            chance_table(data, judged, figures),
            better,
            finding_table(data),
            *sure,
            query_table(data, figures),
        ),
        pictures=(
            pictures.first_three(data),
            pictures.bars(by_labels[0], "nDCG@10"),
            *drawn,
            *rated[1],
        ),
        settings={
            "relevance": [r.name for r in judged],
            "ties": "the case with the lower id first",
            "chance": "exact mean over all orders",
            "left out": "the query's own picture and all cases of its patient",
            "experts": experts.name if experts else None,
        },
        documents=documents,
    )


def _experts(data: EvaluationData, file: Path) -> tuple[tuple[Table, ...], tuple[Picture, ...]]:
    known = {
        case.case_id: e
        for case, e in zip(data.candidates.cases, data.candidates.embedding, strict=True)
    }
    for images in (data.tuning, data.queries):
        known |= dict(zip(images.case_ids, images.embedding, strict=True))
    lists = rated_lists(read_ratings(file, data.settings.max_rating), file, known)
    rows = expert_rows(lists)
    drawn = tuple(pictures.expert_list(one, rows, data) for one in lists[:EXPERT_PICTURES])
    return (agreement_with_experts(lists, data), rows), drawn


def _similarity(
    data: EvaluationData,
) -> tuple[tuple[Table, ...], tuple[Picture, ...], dict[str, object]]:
    """Calibration of the cosine: tables, picture, and what `generations calibrate` reads."""
    checkpoint = data.encoder.checkpoint.digest
    source = data.candidates.cases[0].source
    tuning = pairs(data.tuning, data.candidates)
    fitted = fit(tuning, checkpoint, source)
    if fitted is None:
        return (), (), {}
    figures, curve = reliability(data, fitted, tuning)
    return (figures, curve), (pictures.reliability_curve(curve),), {"similarity": asdict(fitted)}


def _summary(shared: Table, better: Table) -> str:
    own, random, pixels = (_value(shared, r, "P@5") for r in (XEMPLAR, RANDOM, PIXELS))
    return (
        f"Of the first five cases, {own.value:.0%} have a finding in common with the query; in "
        f"random order it is {random.value:.0%}, by comparing the pixels {pixels.value:.0%}. "
        f"{_verdict(better)}"
    )


def _text(data: EvaluationData, sure: tuple[Table, ...]) -> tuple[str, ...]:
    """Writes the paragraphs: question, and what the answer is worth."""
    paragraphs = [
        f"{len(data.queries)} images of {_patients(data)} patients were queried, each "
        f"among {len(data.candidates)} indexed cases of the same data set, without its own "
        "patient's.",
        "What this proves: how often cases come first that carry the same labels. What it does "
        "not prove: that they look alike to a radiologist, as labels say nothing of extent and "
        "location, and were mostly mined from reports, so some are wrong; nor that a case without "
        "a label is free of it. Only ratings by experts can say that; chance stands beside every "
        "figure because on short lists nDCG is high by chance.",
    ]
    if sure:
        _, so, said, *_ = sure[0].rows[0]
        paragraphs.append(
            "A cosine is no probability. The calibration says how often images of such a cosine "
            "share a finding, and it holds only where findings are as frequent as among the images "
            f"it was fitted on: for the ten nearest cases it says {said:.0%} on average, and "
            f"{so:.0%} do share one. Elsewhere it must be measured anew."
        )
    return tuple(paragraphs)


def _verdict(better: Table) -> str:
    """States whether precision at 5 is significantly above that of all baselines."""
    column = next(n for n, name in enumerate(better.columns) if name.startswith("P@5"))
    whole = better.rows[0][0]
    differences = [(row[1], row[column]) for row in better.rows if row[0] == whole]
    doubtful = [
        str(name) for name, d in differences if not (isinstance(d, Estimate) and (d.low or 0) > 0)
    ]
    if not doubtful:
        return "The difference to each of the comparisons is larger than luck explains."
    return (
        f"Whether that is better than {' and '.join(doubtful)} cannot be said from these images: "
        "the difference may be luck."
    )


def _value(table: Table, ranker: str, metric: str) -> Estimate:
    row = next(row for row in table.rows if row[1] == ranker)  # of all splits together
    cell = row[list(table.columns).index(metric)]
    # some query has a finding; that an indexed case has it too is what the figures hang on
    if not isinstance(cell, Estimate):
        raise DatasetError(
            "no indexed case has a finding in common with any evaluated image, so no ranking can "
            "be judged; index labelled images of the same data set"
        )
    return cell


def _patients(data: EvaluationData) -> int:
    known = {p for p in data.queries.patients if p is not None}
    return len(known) + int(np.sum([p is None for p in data.queries.patients]))
