"""The study on images where it is known what gives a finding away."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xemplar_evaluator.auc import Judge
from xemplar_evaluator.data import EvaluationData, unrelated_cases
from xemplar_evaluator.section import Cell, Estimate, Section, Table
from xemplar_evaluator.shortcuts import study as module
from xemplar_evaluator.shortcuts.masks import CORNERS, NO_CORNERS
from xemplar_evaluator.shortcuts.probes import embedding_probes, people_scores
from xemplar_evaluator.shortcuts.study import LIMIT, PEOPLE, WHOLE, shortcuts

from xemplar.errors import DatasetError

SEXES = "F", "M"


def table(section: Section, name: str) -> Table:
    return next(t for t in section.tables if t.name == f"shortcuts-{name}")


def cell(table: Table, row: str, column: str) -> Cell:
    cells = next(cells for cells in table.rows if cells[0] == row)
    return cells[list(table.columns).index(column)]


def estimate(table: Table, row: str, column: str) -> Estimate:
    found = cell(table, row, column)
    assert isinstance(found, Estimate)
    return found


def changed(
    data: EvaluationData,
    image: Callable[[int], dict[str, object]],
    case: Callable[[int], dict[str, object]],
) -> EvaluationData:
    """The data with other fields of its images and indexed cases, by place."""
    images = tuple(replace(f, **image(n)) for n, f in enumerate(data.queries.records))
    cases = tuple(replace(c, **case(n)) for n, c in enumerate(data.candidates.cases))
    return replace(
        data,
        queries=replace(data.queries, records=images),
        candidates=replace(data.candidates, cases=cases),
    )


@pytest.fixture(scope="module")
def section(data: EvaluationData, tmp_path_factory: pytest.TempPathFactory) -> Section:
    return shortcuts(data, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def told_by_sex(data: EvaluationData) -> EvaluationData:
    """Every other image and case is a man's, and men have a hernia. The embedding tells sex."""
    labels = dict.fromkeys(data.findings, 0)

    def of(n: int) -> dict[str, object]:
        return {"sex": SEXES[n % 2], "labels": labels | {"Hernia": n % 2}}

    known = changed(data, of, of)
    queries, candidates = known.queries, known.candidates

    def embedding(count: int, channels: int) -> np.ndarray:
        drawn = np.random.default_rng(count).random((count, channels)).astype(np.float32)
        drawn[:, 0] = np.arange(count) % 2
        return drawn

    channels = queries.embedding.shape[1]
    return replace(
        known,
        queries=replace(queries, embedding=embedding(len(queries), channels)),
        candidates=replace(candidates, embedding=embedding(len(candidates), channels)),
    )


@pytest.fixture(scope="module")
def section_of_sexes(
    told_by_sex: EvaluationData, tmp_path_factory: pytest.TempPathFactory
) -> Section:
    return shortcuts(told_by_sex, tmp_path_factory.mktemp("work"))


def test_splits_stand_apart(data: EvaluationData, tmp_path: Path) -> None:
    """The corners' scores are right in one split and wrong in the other."""
    labels = [{"Hernia": n // 2 % 2} for n in range(len(data.queries))]
    apart = changed(
        data, lambda n: {"split": ("test", "box")[n % 2], "labels": labels[n]}, lambda _: {}
    )
    judge = Judge.of(apart)
    column = data.findings.index("Hernia")
    scores = np.zeros((len(labels), len(data.findings)))
    right = np.array([known["Hernia"] for known in labels])
    scores[:, column] = np.where(np.arange(len(labels)) % 2, -right, right)
    row = module.Row(CORNERS, scores, (column,), judge.mean(scores, (column,)), None)
    found = module._splits_table(apart, judge, [row]).rows
    assert [(line[0], line[2].value) for line in found] == [("test", 1), ("box", 0)]


def test_every_part_of_the_image_stands_beside_chance_and_the_corners_beside_their_limit(
    section: Section,
) -> None:
    images = table(section, "images")
    assert images.rows[0][0] == WHOLE
    assert len(images.rows) == 6
    assert {row[list(images.columns).index("chance")] for row in images.rows} == {0.5}
    assert cell(images, CORNERS, "limit") == LIMIT
    assert cell(images, NO_CORNERS, "limit") is None
    assert cell(images, CORNERS, "share of the image") == pytest.approx(4 * 13 * 13 / 64**2)
    assert cell(images, PEOPLE, "share of the image") is None
    assert estimate(images, CORNERS, "mean AUC").low is not None


def test_the_whole_image_has_the_mean_of_the_findings_auc(section: Section) -> None:
    findings = table(section, "findings")
    values = [estimate(findings, str(row[0]), WHOLE).value for row in findings.rows]
    assert estimate(table(section, "images"), WHOLE, "mean AUC").value == pytest.approx(
        np.mean(values)
    )
    assert not findings.shown


def test_what_only_the_corners_tell_is_seen_in_the_corners_and_lost_without_them(
    data: EvaluationData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = Judge.of(data).truth.present.astype(np.float32)
    told = replace(data, queries=replace(data.queries, logits=truth))
    parts = {CORNERS: truth, NO_CORNERS: 0 * truth}
    monkeypatch.setattr(module, "masked_logits", lambda *_: parts)
    section = shortcuts(told, tmp_path)
    images = table(section, "images")
    assert estimate(images, CORNERS, "mean AUC").value == 1
    assert estimate(images, CORNERS, "minus the whole image's").value == 0
    assert estimate(images, NO_CORNERS, "mean AUC").value == 0.5
    assert estimate(images, NO_CORNERS, "minus the whole image's").value == -0.5
    assert "above the limit of 0.55" in section.summary
    parts[CORNERS] = 0 * truth
    assert "within the limit of 0.55" in shortcuts(told, tmp_path).summary


def test_what_sex_tells_of_findings_and_the_embedding_of_sex_is_found(
    section_of_sexes: Section,
) -> None:
    section = section_of_sexes
    assert estimate(table(section, "images"), PEOPLE, "mean AUC").value == 1
    assert estimate(table(section, "probes"), "sex", "AUC").value > 0.9
    assert cell(table(section, "probes"), "sex", "indexed cases fitted on") == 56
    assert "The embedding tells sex" in section.summary


def test_what_is_the_same_for_all_is_left_out_and_named(section: Section) -> None:
    # every phantom is a PAn image
    probes = table(section, "probes")
    assert [row[0] for row in probes.rows] == ["sex"]
    assert "the same for all: view (AP or PA)." in probes.caption


def test_findings_that_all_or_none_have_are_left_out_and_named(section_of_sexes: Section) -> None:
    section = section_of_sexes
    assert [row[0] for row in table(section, "findings").rows] == ["Hernia"]
    assert any("all or none of the images have them: Atelectasis" in text for text in section.text)


def test_findings_that_no_indexed_case_has_are_missing_from_view_sex_and_age(
    data: EvaluationData, tmp_path: Path
) -> None:
    first, second, *_ = Judge.of(data).truth.judged
    labels = dict.fromkeys(data.findings, 0)
    only = data.findings[first]
    known = changed(data, lambda _: {}, lambda n: {"labels": labels | {only: n % 2}})
    section = shortcuts(known, tmp_path)
    assert cell(table(section, "images"), PEOPLE, "findings") == 1
    assert cell(table(section, "findings"), data.findings[second], PEOPLE) is None
    assert any(f"is without {data.findings[second]}" in text for text in section.text)


def test_unknown_views_sexes_and_ages_leave_the_network_alone_to_be_judged(
    data: EvaluationData, tmp_path: Path
) -> None:
    unknown = {"view": None, "sex": None, "age": None}
    nobody = changed(data, lambda _: unknown, lambda _: {})
    section = shortcuts(nobody, tmp_path)
    assert PEOPLE not in [row[0] for row in table(section, "images").rows]
    assert table(section, "probes").rows == []
    assert any("Nothing was fitted to view, sex and age" in text for text in section.text)


def test_no_regression_is_fitted_on_an_evaluated_patient(
    told_by_sex: EvaluationData, tmp_path: Path
) -> None:
    own = told_by_sex.queries.patients[0]
    one = changed(told_by_sex, lambda _: {}, lambda n: {"patient": own} if n == 3 else {})
    assert unrelated_cases(one) == [n for n in range(56) if n != 3]
    all_ = changed(told_by_sex, lambda _: {}, lambda _: {"patient": own})
    assert unrelated_cases(all_) == []
    assert embedding_probes(all_)[0] == []
    assert people_scores(all_, Judge.of(all_))[1] == []
    assert any("no regression could be fitted" in text for text in shortcuts(all_, tmp_path).text)


def test_the_report_can_keep_the_section_and_names_no_image(section: Section) -> None:
    kept = json.dumps(section.to_dict())
    assert "phantom-0" not in kept
    assert all(picture.data.startswith(b"\x89PNG") for picture in section.pictures)


def test_images_without_labels_are_refused_before_any_forward_pass(
    data: EvaluationData, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="no AUC can be computed"):
        shortcuts(changed(data, lambda _: {"labels": {}}, lambda _: {}), tmp_path)
    assert list(tmp_path.iterdir()) == []
