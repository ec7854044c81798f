"""The Structured Report says what the answer says, in codes and numbers."""

import numpy as np
import pytest
from highdicom.sr import (
    ComprehensiveSR,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from xemplar_pacs.results import codes as concepts
from xemplar_pacs.results.region import heat_box

from tests.images import drawn_image
from tests.pacs.conftest import Asked, ask
from tests.pacs.films import INSTANCE, cr_film
from xemplar.retrieval import render
from xemplar.retrieval.retriever import Retriever

KIND = "structured report"


def report_of(asked: Asked) -> MeasurementReport:
    return ComprehensiveSR.from_dataset(asked.result(KIND)).content


def groups(
    asked: Asked,
) -> list[MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations]:
    report = report_of(asked)
    return [
        *report.get_image_measurement_groups(),
        *report.get_planar_roi_measurement_groups(),
    ]


def test_has_every_finding_with_probability_base_rate_and_threshold(asked: Asked) -> None:
    found = {group.tracking_identifier: group for group in groups(asked)}
    for one in asked.answer.predictions:
        group = found[one.finding.replace("_", " ")]
        measured = {item.name: item.value for item in group.get_measurements()}
        expected = {
            concepts.PROBABILITY: one.probability,
            concepts.BASE_RATE: one.base_rate,
            concepts.THRESHOLD: one.threshold,
        }
        stated = {name: value for name, value in expected.items() if value is not None}
        assert measured.keys() == stated.keys()
        assert all(measured[name] == pytest.approx(stated[name], rel=1e-5) for name in stated)


def test_calls_a_finding_only_what_the_network_calls(asked: Asked) -> None:
    called = {one.finding for one in asked.answer.predictions if one.called}
    assert called
    assert len(called) < len(asked.answer.predictions)
    stated = {group.finding_type for group in groups(asked) if group.finding_type is not None}
    assert stated == {concepts.finding_code(finding) for finding in called}


def test_has_the_box_of_each_called_finding_on_the_source_image(asked: Asked) -> None:
    boxes = report_of(asked).get_planar_roi_measurement_groups()
    assert boxes
    live, rows, columns = asked.retriever.live, 360, 280
    names = {one.finding.replace("_", " "): one.finding for one in asked.answer.predictions}
    for group in boxes:
        heatmap = render.query_map(live, asked.answer, names[group.tracking_identifier])
        box = heat_box(heatmap, live.checkpoint.card.spec, rows, columns)
        corners = np.array(box.corners(rows, columns))
        assert group.roi.value == pytest.approx(corners, abs=1e-3)  # float32
        assert group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
            INSTANCE
        )


def test_has_every_case_with_its_similarity_and_labels(asked: Asked) -> None:
    found = {group.tracking_identifier: group for group in groups(asked)}
    for near in asked.answer.neighbours:
        group = found[f"case {near.case.case_id}"]
        (similarity,) = group.get_measurements(concepts.SIMILARITY)
        assert similarity.value == pytest.approx(near.similarity, rel=1e-5)
        labels = [one.value for one in group.get_qualitative_evaluations(concepts.LABEL)]
        assert labels == [concepts.finding_code(finding) for finding in near.case.findings]
        assert group.finding_type is None  # it is of another patient


def test_has_the_chance_where_the_index_is_calibrated(asked: Asked) -> None:
    def chances(one: Asked) -> list[float]:
        return [m.value for g in groups(one) for m in g.get_measurements(concepts.CHANCE)]

    assert chances(asked) == []
    assert chances(asked.with_chance(0.75)) == [0.75] * len(asked.answer.neighbours)


def test_names_the_algorithm_and_its_checkpoint(asked: Asked) -> None:
    texts = {str(item.TextValue) for item in _items(asked.result(KIND)) if "TextValue" in item}
    assert f"checkpoint sha256 {asked.answer.checkpoint}" in texts
    assert "Research use, not for diagnosis." in texts


def test_is_neither_complete_nor_verified(asked: Asked) -> None:
    report = asked.result(KIND)
    flags = (report.CompletionFlag, report.PreliminaryFlag, report.VerificationFlag)
    assert flags == ("PARTIAL", "PRELIMINARY", "UNVERIFIED")


def test_says_what_is_doubtful_about_the_image(retriever: Retriever) -> None:
    lateral = ask(retriever, cr_film(drawn_image(50), ViewPosition="LL"))
    comments = [
        item.TextValue
        for item in _items(lateral.result(KIND))
        if "TextValue" in item
        and item.ConceptNameCodeSequence[0].CodeValue == codes.DCM.Comment.value
    ]
    assert any("the view is LL" in comment for comment in comments)


@pytest.mark.parametrize(
    ("finding", "code"),
    [
        ("Pneumothorax", ("36118008", "SCT")),
        ("Pleural_Thickening", ("Pleural_Thickening", "99XEMPLAR")),
        ("Größe\\unklar", ("Größe_unklar", "99XEMPLAR")),
    ],
)
def test_codes_findings(finding: str, code: tuple[str, str]) -> None:
    found = concepts.finding_code(finding)
    assert (found.value, found.scheme_designator) == code
    assert "\\" not in found.meaning


def _items(report: Dataset) -> list[Dataset]:
    """All content items of a report."""
    found = [report]
    for item in report.get("ContentSequence", ()):
        found += _items(item)
    return found
