"""The ranking against labels, on phantoms."""

from dataclasses import replace

import numpy as np
import pytest
from xemplar_evaluator.material import Material
from xemplar_evaluator.ranking.labels import finding_table, forbidden, measure, relevances, tables
from xemplar_evaluator.ranking.rankers import DEMOGRAPHICS, PIXELS, RANDOM, XEMPLAR
from xemplar_evaluator.ranking.study import ranking

from xemplar.errors import DatasetError
from xemplar.findings import positives

JACCARD = "findings in common / findings in either"
SHARED = "a finding in common"


@pytest.fixture(scope="module")
def judged(material: Material):
    return relevances(material.queries, material.candidates, material.severity)


def test_a_query_finds_neither_its_own_picture_nor_its_patients_others(material: Material) -> None:
    first, second = material.candidates.cases[:2]
    queries = replace(
        material.queries,
        case_ids=(first.case_id, *material.queries.case_ids[1:]),
        patients=(second.patient, None, *material.queries.patients[2:]),
    )
    barred = forbidden(queries, material.candidates, slice(0, 2))
    assert np.flatnonzero(barred[0]).tolist() == [0, 1]
    assert not barred[1].any()  # an unknown patient is nobody's


def test_a_perfect_ranking_scores_1_where_a_case_is_relevant(material: Material, judged) -> None:
    """The embedding is replaced by the findings themselves: then similar is what is labelled so."""
    names = sorted({f for film in material.queries.films for f in film.labels})

    def by_findings(findings) -> np.ndarray:
        rows = np.array([[name in of for name in names] for of in findings], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)

    own = by_findings([positives(film.labels) for film in material.queries.films])
    other = by_findings([case.findings for case in material.candidates.cases])
    perfect = replace(
        material,
        queries=replace(material.queries, embedding=own),
        candidates=replace(material.candidates, embedding=other),
    )
    figures = measure(perfect, judged, lambda _: None)
    found = figures[SHARED, XEMPLAR, "MRR"]
    assert np.isfinite(found).any()
    assert np.nanmin(found) == 1
    normal = [not set(positives(film.labels)) - {"No Finding"} for film in perfect.queries.films]
    assert np.isnan(found[normal]).all()


def test_every_ranker_stands_beside_in_every_table(material: Material, judged) -> None:
    figures = measure(material, judged, lambda _: None)
    for table in tables(material, judged, figures):
        assert {row[0] for row in table.rows} == {XEMPLAR, DEMOGRAPHICS, PIXELS, RANDOM}
        assert "random order" in table.caption


def test_phantoms_are_judged_by_severity_too(judged) -> None:
    assert "severity in common / severity in either" in [r.name for r in judged]


def test_films_without_severities_are_not(material: Material) -> None:
    without = relevances(material.queries, material.candidates, {})
    assert len(without) == 3


def test_the_random_order_finds_as_many_as_there_are(material: Material, judged) -> None:
    figures = measure(material, judged, lambda _: None)
    table = finding_table(material)
    names = [f for film in material.queries.films for f in positives(film.labels)]
    for name, having, *_, chance in table.rows:
        assert having == names.count(name)
        with_it = sum(name in case.findings for case in material.candidates.cases)
        assert chance == pytest.approx(with_it / len(material.candidates))
    random = np.nanmean(figures[SHARED, RANDOM, "P@10"])
    gain = next(r for r in judged if r.name == SHARED).gain(slice(0, None))
    assert random == pytest.approx(gain[gain.any(axis=1)].mean(), abs=0.1)


def test_the_same_seed_gives_the_same_figures(material: Material, judged) -> None:
    one, other = (measure(material, judged, lambda _: None) for _ in range(2))
    assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)


def test_the_study_names_no_file_and_no_patient(material: Material) -> None:
    text = str(ranking(material).to_dict())
    assert not [f.file for f in material.queries.films if f.file and f.file in text]
    assert not [p for p in material.queries.patients if p and p in text]


def test_films_without_a_finding_cannot_be_evaluated(material: Material) -> None:
    films = tuple(replace(film, labels={}) for film in material.queries.films)
    with pytest.raises(DatasetError, match="none of the 12 evaluated films has a finding"):
        ranking(replace(material, queries=replace(material.queries, films=films)))
