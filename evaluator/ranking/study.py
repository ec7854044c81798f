"""The study of the ranking, from material to what is printed."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from evaluator.material import Material
from evaluator.ranking import pictures
from evaluator.ranking.experts import (
    agreement_with_experts,
    expert_rows,
    rated_lists,
    read_ratings,
)
from evaluator.ranking.labels import finding_table, measure, query_table, relevances, tables
from evaluator.ranking.rankers import PIXELS, RANDOM, XEMPLAR
from evaluator.ranking.similarity import fit, pairs, reliability
from evaluator.section import Estimate, Picture, Section, Table
from xemplar.errors import DatasetError
from xemplar.findings import NO_FINDING, positives

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
    sure, drawn, documents = _similarity(material)
    return Section(
        name="ranking",
        title="Explanation by example: are the similar cases similar?",
        text=_text(material, by_labels),
        tables=(
            *rated[0],
            *by_labels,
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
    fitted = fit(pairs(material.tuning, material.candidates), checkpoint, source)
    if fitted is None:
        return (), (), {}
    figures, curve = reliability(material, fitted)
    return (figures, curve), (pictures.reliability_curve(curve),), {"similarity": asdict(fitted)}


def _text(material: Material, by_labels: list[Table]) -> tuple[str, ...]:
    """What was asked, what came out, and what that is worth."""
    own, other = (_value(by_labels[1], ranker, "P@5") for ranker in (XEMPLAR, RANDOM))
    pixels = _value(by_labels[1], PIXELS, "P@5")
    if own is None or other is None or pixels is None:
        return ()
    clear = own.low is not None and own.low > max(other.value, pixels.value)
    verdict = (
        "Its interval lies above chance and above comparing the pixels."
        if clear
        else "That is not clearly above what needs no network; do not rely on it."
    )
    return (
        f"{len(material.queries)} films of {_patients(material)} patients were asked for, each "
        f"among {len(material.candidates)} indexed cases of the same data set, without its own "
        f"patient's. Of the first five cases, {own.value:.0%} have a finding in common with the "
        f"query; in random order it is {other.value:.0%}, by comparing the pixels "
        f"{pixels.value:.0%}. {verdict}",
        "What this proves: how often cases come first that carry the same labels. What it does "
        "not prove: that they look alike to a radiologist, as labels say nothing of extent and "
        "place, and were mostly mined from reports, so some are wrong; nor that a case without a "
        "label is free of it. Only ratings by experts can say that; chance stands beside every "
        "figure because on short lists nDCG is high by chance.",
        "A cosine is no probability. The calibration says how often films of such a cosine share "
        "a finding in this data set; in another hospital, where findings are rarer or more "
        "frequent, it must be measured anew.",
    )


def _value(table: Table, ranker: str, metric: str) -> Estimate | None:
    row = next(row for row in table.rows if row[0] == ranker)
    cell = row[list(table.columns).index(metric)]
    return cell if isinstance(cell, Estimate) else None


def _patients(material: Material) -> int:
    known = {p for p in material.queries.patients if p is not None}
    return len(known) + int(np.sum([p is None for p in material.queries.patients]))
