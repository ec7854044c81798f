"""The ranking against labels, on phantoms."""

from dataclasses import replace

import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData, related
from xemplar_evaluator.ranking.labels import (
    chance_table,
    difference_table,
    finding_table,
    measure,
    relevances,
    tables,
)
from xemplar_evaluator.ranking.rankers import DEMOGRAPHICS, PIXELS, RANDOM, XEMPLAR
from xemplar_evaluator.ranking.study import ranking

from xemplar.data.findings import positives
from xemplar.errors import DatasetError

JACCARD = "findings in common / findings in either"
SHARED = "a finding in common"


@pytest.fixture(scope="module")
def judged(data: EvaluationData):
    return relevances(data.queries, data.candidates, data.severity)


def test_a_query_finds_neither_its_own_picture_nor_its_patients_others(
    data: EvaluationData,
) -> None:
    first, second = data.candidates.cases[:2]
    queries = replace(
        data.queries,
        case_ids=(first.case_id, *data.queries.case_ids[1:]),
        patients=(second.patient, None, *data.queries.patients[2:]),
    )
    barred = related(queries, data.candidates, slice(0, 2))
    assert np.flatnonzero(barred[0]).tolist() == [0, 1]
    assert not barred[1].any()  # an unknown patient is nobody's


def test_a_perfect_ranking_scores_1_where_a_case_is_relevant(data: EvaluationData, judged) -> None:
    """The embedding is replaced by the findings themselves: then similar is what is labelled so."""
    names = sorted({f for image in data.queries.records for f in image.labels})

    def by_findings(findings) -> np.ndarray:
        rows = np.array([[name in of for name in names] for of in findings], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)

    own = by_findings([positives(image.labels) for image in data.queries.records])
    other = by_findings([case.findings for case in data.candidates.cases])
    perfect = replace(
        data,
        queries=replace(data.queries, embedding=own),
        candidates=replace(data.candidates, embedding=other),
    )
    figures = measure(perfect, judged, lambda _: None)
    found = figures[SHARED, XEMPLAR, "MRR"]
    assert np.isfinite(found).any()
    assert np.nanmin(found) == 1
    normal = [
        not set(positives(image.labels)) - {"No Finding"} for image in perfect.queries.records
    ]
    assert np.isnan(found[normal]).all()


def test_every_ranker_stands_beside_in_every_table(data: EvaluationData, judged) -> None:
    figures = measure(data, judged, lambda _: None)
    for table in tables(data, judged, figures):
        assert {row[1] for row in table.rows} == {XEMPLAR, DEMOGRAPHICS, PIXELS, RANDOM}
        assert "random order" in table.caption


def test_phantoms_are_judged_by_severity_too(judged) -> None:
    assert "severity in common / severity in either" in [r.name for r in judged]


def test_images_without_severities_are_not(data: EvaluationData) -> None:
    without = relevances(data.queries, data.candidates, {})
    assert len(without) == 3


def test_the_random_order_finds_as_many_as_there_are(data: EvaluationData, judged) -> None:
    figures = measure(data, judged, lambda _: None)
    table = finding_table(data)
    names = [f for image in data.queries.records for f in positives(image.labels)]
    for _, name, having, *_, chance, _ in table.rows:
        assert having == names.count(name)
        with_it = sum(name in case.findings for case in data.candidates.cases)
        assert chance == pytest.approx(with_it / len(data.candidates))
    random = np.nanmean(figures[SHARED, RANDOM, "P@10"])
    gain = next(r for r in judged if r.name == SHARED).gain(slice(0, None))
    # no query of these is of an indexed patient, so every case may be found
    assert random == pytest.approx(gain[gain.any(axis=1)].mean())


def test_splits_stand_apart_in_every_table_with_how_many_times_chance_they_are(
    data: EvaluationData, judged
) -> None:
    """As if every second of the images were of another split, whose ranking is none."""
    records = tuple(
        replace(image, split=("test", "box")[n % 2]) for n, image in enumerate(data.queries.records)
    )
    both = replace(
        data,
        queries=replace(data.queries, records=records),
        settings=replace(data.settings, splits=("test", "box")),
    )
    figures = measure(both, judged, lambda _: None)
    over = chance_table(both, judged, figures)
    for table in (*tables(both, judged, figures), difference_table(both, judged, figures), over):
        assert list(dict.fromkeys(row[0] for row in table.rows)) == ["test + box", "test", "box"]
    own, random = figures[SHARED, XEMPLAR, "P@5"], figures[SHARED, RANDOM, "P@5"]
    row = next(r for r in over.rows if r[:2] == ["box", f"P@5 ({SHARED})"])
    assert row[4].value == pytest.approx(np.nanmean(own[1::2]) / np.nanmean(random[1::2]))
    apart = {(row[0], row[1]): row[2] for row in finding_table(both).rows}
    for name in {name for _, name in apart}:
        counts = [apart.get((part, name), 0) for part in ("test", "box")]
        assert sum(counts) == apart["test + box", name]


def test_the_same_seed_gives_the_same_figures(data: EvaluationData, judged) -> None:
    one, other = (measure(data, judged, lambda _: None) for _ in range(2))
    assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)


def test_images_without_a_finding_cannot_be_evaluated(data: EvaluationData) -> None:
    images = tuple(replace(image, labels={}) for image in data.queries.records)
    with pytest.raises(DatasetError, match="none of the 16 evaluated images has a finding"):
        ranking(replace(data, queries=replace(data.queries, records=images)))
