"""An answer as a Comprehensive SR of template TID 1500, Measurement Report (PS3.16).

One group of measurements for each finding (probability, base rate, threshold; the box of its
Grad-CAM, if it is called), and one for each similar case (similarity, chance of a shared finding),
which its opaque id names.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

import xemplar
from xemplar.api import NOTICE
from xemplar.retrieval import render
from xemplar.retrieval.result import Answer, Neighbour, Prediction
from xemplar.retrieval.snapshot import Snapshot

from . import codes as concepts
from .region import SHARE, heat_box
from .source import SourceImage
from .uids import derived_uid, result_uid

KIND = "structured report"
SERIES = 9902
"""Number of the series, after the Secondary Capture's."""

DESCRIPTION = "xemplar: findings. Research use, not for diagnosis"

Concept = CodedConcept | Code
Group = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations


def structured_report(source: SourceImage, live: Snapshot, answer: Answer) -> Dataset:
    """Make the Structured Report of an answer: partial, preliminary, not verified.

    Args:
        source: header of the image that was asked about.
        live: the snapshot that gave the answer.
        answer: to report.
    """
    uid = result_uid(source, answer, KIND)
    algorithm = AlgorithmIdentification(
        name="xemplar",
        version=xemplar.__version__,
        parameters=[
            f"checkpoint sha256 {answer.checkpoint}",
            f"index generation {answer.generation}",
            f"regions: Grad-CAM of at least {SHARE:.0%} of its maximum",
            NOTICE,
        ],
    )
    groups = [
        *(_finding(source, live, answer, one, uid, algorithm) for one in answer.predictions),
        *_cases(answer.neighbours, concepts.SIMILAR_CASE, algorithm),
        *_cases(answer.counter_examples, concepts.COUNTER_EXAMPLE, algorithm),
    ]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_device(answer)),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
    )
    content[0].ContentSequence.extend(_comments(answer))
    return ComprehensiveSR(
        evidence=[source.header],
        content=content,
        series_instance_uid=result_uid(source, answer, f"{KIND} series"),
        series_number=SERIES,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer="xemplar",
        manufacturer_model_name="xemplar",
        software_versions=xemplar.__version__,
        series_description=DESCRIPTION,
        specific_character_set=None,
        coding_schemes=[concepts.coding_scheme()],
    )


def _device(answer: Answer) -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=derived_uid("xemplar device", xemplar.__version__, answer.checkpoint),
            name="xemplar",
            manufacturer_name="xemplar",
            model_name=f"xemplar {xemplar.__version__}",
        ),
    )


def _comments(answer: Answer) -> Iterator[TextContentItem]:
    """Say what the report is, and what is doubtful about the image."""
    said = [f"{NOTICE} Not a report by a radiologist."]
    said += [f"Warning: {warning}." for warning in answer.warnings]
    if answer.archived_as is not None:
        said.append(f"The image is in the index itself, as case {answer.archived_as}.")
    for text in said:
        yield TextContentItem(
            name=codes.DCM.Comment, value=text, relationship_type=RelationshipTypeValues.CONTAINS
        )


def _finding(
    source: SourceImage,
    live: Snapshot,
    answer: Answer,
    one: Prediction,
    report: str,
    algorithm: AlgorithmIdentification,
) -> Group:
    """Report a finding in the report of that UID; a called one with the box of its Grad-CAM.

    Only a called finding is the group's Finding: a reader that takes no notice of the evaluations
    must not find a hernia that has a probability of 1 %.
    """
    measured = [_number(concepts.PROBABILITY, one.probability)]
    if one.base_rate is not None:
        measured.append(_number(concepts.BASE_RATE, one.base_rate))
    if one.threshold is not None:
        measured.append(_number(concepts.THRESHOLD, one.threshold))
    code = concepts.finding_code(one.finding)
    image = (source.header.SOPClassUID, source.header.SOPInstanceUID)
    common: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(
            uid=derived_uid(report, one.finding),
            identifier=one.finding.replace("_", " "),
        ),
        "algorithm_id": algorithm,
        "finding_category": concepts.QUERY_FINDING,
        "finding_type": code if one.called else None,
        "measurements": measured,
        "qualitative_evaluations": [
            QualitativeEvaluation(concepts.ASSESSED, code),
            QualitativeEvaluation(concepts.CALLED, concepts.YES if one.called else concepts.NO),
        ],
    }
    heatmap = render.query_map(live, answer, one.finding)
    box = None
    if heatmap is not None:
        spec = live.checkpoint.card.spec
        box = heat_box(heatmap, spec, source.rows, source.columns)
    if box is None:
        return MeasurementsAndQualitativeEvaluations(
            **common, source_images=[SourceImageForMeasurementGroup(*image)]
        )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        **common,
        referenced_region=ImageRegion(
            graphic_type="POLYLINE",
            graphic_data=np.array(box.corners(source.rows, source.columns)),
            source_image=SourceImageForRegion(*image),
        ),
    )


def _cases(
    cases: tuple[Neighbour, ...], category: Concept, algorithm: AlgorithmIdentification
) -> Iterator[Group]:
    """Report similar cases: the same case has the same tracking UID in every report.

    Their labels are evaluations, no findings, as they are of other patients.
    """
    for near in cases:
        case = near.case
        measured = [_number(concepts.SIMILARITY, near.similarity)]
        if near.chance is not None:
            measured.append(_number(concepts.CHANCE, near.chance))
        yield MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=derived_uid("xemplar case", case.case_id), identifier=f"case {case.case_id}"
            ),
            algorithm_id=algorithm,
            finding_category=category,
            measurements=measured,
            qualitative_evaluations=[
                QualitativeEvaluation(concepts.LABEL, concepts.finding_code(finding))
                for finding in case.findings
            ],
        )


def _number(name: Concept, value: float) -> Measurement:
    """Report a number without a unit, with six significant digits."""
    return Measurement(name=name, value=float(f"{value:.6g}"), unit=concepts.RATIO)
