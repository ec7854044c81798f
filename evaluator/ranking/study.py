"""The study of the ranking, from material to what is printed."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from xemplar.errors import DatasetError
from xemplar.findings import NO_FINDING, positives

from ..material import Material
from ..section import Estimate, Picture, Section, Table
from . import pictures
from .experts import (
    agreement_with_experts,
    expert_rows,
    rated_lists,
    read_ratings,
)
from .labels import (
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
    material: Material,
    experts: Path | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Section:
    """Whether similar cases are similar, by labels, by severity where known, and by experts.

    Args:
        material: films and indexed cases.
        experts: a ratings file (`evaluator.ranking.experts`), or None.
        on_progress: called with the number of queries done.

    Raises:
        DatasetError: no query has a finding, or the ratings file cannot be used.
    """
    if not any(set(positives(f.labels)) - {NO_FINDING} for f in material.queries.films):
        raise DatasetError(
            f"none of the {len(material.queries)} evaluated films has a finding in its labels, so "
            "no case can be relevant to it; evaluate a labelled data set"
        )
    rated = _experts(material, experts) if experts else ((), ())
    judged = relevances(material.queries, material.candidates, material.severity)
    figures = measure(material, judged, on_progress)
    by_labels = tables(material, judged, figures)
    better = difference_table(material, judged, figures)
    sure, drawn, documents = _similarity(material)
    return Section(
        name="ranking",
        title="Explanation by example: are the similar cases similar?",
        summary=_summary(by_labels[1], better),
        text=_text(material, sure),
        tables=(
            *rated[0],
            *by_labels,
            better,
            finding_table(material),
            *sure,
            query_table(material, figures),
        ),
        pictures=(
            pictures.first_three(material),
            pictures.bars(by_labels[0], "nDCG@10"),
            *drawn,
            *rated[1],
        ),
        settings={
            "relevance": [r.name for r in judged],
            "ties": "the case with the lower id first",
            "left out": "the query's own picture and all cases of its patient",
            "experts": experts.name if experts else None,
        },
        documents=documents,
    )


def _experts(material: Material, file: Path) -> tuple[tuple[Table, ...], tuple[Picture, ...]]:
    known = {
        case.case_id: e
        for case, e in zip(material.candidates.cases, material.candidates.embedding, strict=True)
    }
    for films in (material.tuning, material.queries):
        known |= dict(zip(films.case_ids, films.embedding, strict=True))
    lists = rated_lists(read_ratings(file, material.settings.max_rating), file, known)
    rows = expert_rows(lists)
    drawn = tuple(pictures.expert_list(one, rows, material) for one in lists[:EXPERT_PICTURES])
    return (agreement_with_experts(lists, material), rows), drawn


def _similarity(
    material: Material,
) -> tuple[tuple[Table, ...], tuple[Picture, ...], dict[str, object]]:
    """Calibration of the cosine: tables, picture, and what `generations calibrate` reads."""
    checkpoint = material.encoder.checkpoint.digest
    source = material.candidates.cases[0].source
    tuning = pairs(material.tuning, material.candidates)
    fitted = fit(tuning, checkpoint, source)
    if fitted is None:
        return (), (), {}
    figures, curve = reliability(material, fitted, tuning)
    return (figures, curve), (pictures.reliability_curve(curve),), {"similarity": asdict(fitted)}


def _summary(shared: Table, better: Table) -> str:
    own, random, pixels = (_value(shared, r, "P@5") for r in (XEMPLAR, RANDOM, PIXELS))
    return (
        f"Of the first five cases, {own.value:.0%} have a finding in common with the query; in "
        f"random order it is {random.value:.0%}, by comparing the pixels {pixels.value:.0%}. "
        f"{_verdict(better)}"
    )


def _text(material: Material, sure: tuple[Table, ...]) -> tuple[str, ...]:
    """What was asked, and what the answer is worth."""
    paragraphs = [
        f"{len(material.queries)} films of {_patients(material)} patients were asked for, each "
        f"among {len(material.candidates)} indexed cases of the same data set, without its own "
        "patient's.",
        "What this proves: how often cases come first that carry the same labels. What it does "
        "not prove: that they look alike to a radiologist, as labels say nothing of extent and "
        "place, and were mostly mined from reports, so some are wrong; nor that a case without a "
        "label is free of it. Only ratings by experts can say that; chance stands beside every "
        "figure because on short lists nDCG is high by chance.",
    ]
    if sure:
        _, so, said, *_ = sure[0].rows[0]
        paragraphs.append(
            "A cosine is no probability. The calibration says how often films of such a cosine "
            "share a finding, and it holds only where findings are as frequent as among the films "
            f"it was fitted on: for the ten nearest cases it says {said:.0%} on average, and "
            f"{so:.0%} do share one. Elsewhere it must be measured anew."
        )
    return tuple(paragraphs)


def _verdict(better: Table) -> str:
    """Whether the share of the first five is above that of all others, surely."""
    column = next(n for n, name in enumerate(better.columns) if name.startswith("P@5"))
    differences = [(row[0], row[column]) for row in better.rows]
    doubtful = [
        str(name) for name, d in differences if not (isinstance(d, Estimate) and (d.low or 0) > 0)
    ]
    if not doubtful:
        return "The difference to each of the comparisons is larger than luck explains."
    return (
        f"Whether that is better than {' and '.join(doubtful)} cannot be said from these films: "
        "the difference may be luck."
    )


def _value(table: Table, ranker: str, metric: str) -> Estimate:
    row = next(row for row in table.rows if row[0] == ranker)
    cell = row[list(table.columns).index(metric)]
    # some query has a finding; that an indexed case has it too is what the figures hang on
    if not isinstance(cell, Estimate):
        raise DatasetError(
            "no indexed case has a finding in common with any evaluated film, so no ranking can "
            "be judged; index labelled films of the same data set"
        )
    return cell


def _patients(material: Material) -> int:
    known = {p for p in material.queries.patients if p is not None}
    return len(known) + int(np.sum([p is None for p in material.queries.patients]))
