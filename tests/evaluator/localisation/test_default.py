"""The map that the service shows unasked, on images whose maps hit a box, miss it, or are none."""

from dataclasses import replace

import numpy as np
import pytest
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.localisation.default import (
    default_maps,
    default_table,
    default_words,
    shown_by_default,
)
from xemplar_evaluator.localisation.maps import Explainer

from tests.evaluator.localisation.drawn import data_of, images_of
from xemplar.data.boxes import Box
from xemplar.model.checkpoint import Calibration, Checkpoint
from xemplar.model.encoder import Encoder, Precision, open_encoder

MASS, EDEMA = "Mass", "Edema"
HIT, MISS = Box(MASS, MASS, 0.5, 0.25, 0.75, 0.5), Box(MASS, MASS, 0.0, 0.75, 0.25, 1.0)
OTHER = Box(EDEMA, EDEMA, 0.5, 0.25, 0.75, 0.5)  # where the map of the mass has its highest point


@pytest.fixture(scope="module")
def encoder(tiny: Checkpoint) -> Encoder:
    """A finding reaches its threshold where its logit is above 0."""
    card = replace(tiny.card, calibration=(Calibration(threshold=0.5),) * len(tiny.card.findings))
    return open_encoder(replace(tiny, card=card), precision=Precision.FLOAT32)


@pytest.fixture(scope="module")
def data(encoder: Encoder) -> EvaluationData:
    """Four images with boxes, that look the same, and four healthy ones.

    A mass is above its threshold on all but the fourth, which gets no map.
    """
    weights = encoder.checkpoint.weights["classifier.weight"]
    findings = encoder.checkpoint.card.findings
    mass = findings.index(MASS)
    maps = np.zeros((8, weights.shape[1], 4, 4), np.float32)
    maps[:, int(weights[mass].argmax()), 1, 2] = 1
    boxes = {0: (HIT,), 1: (MISS,), 2: (MISS, OTHER), 3: (HIT,)}
    images = images_of(encoder, maps, boxes)
    logits = np.full((8, len(findings)), -2, np.float32)
    logits[:, mass] = [1, 1, 1, -1, 1, -1, -1, -1]
    labels = [{MASS: 1}] * 4 + [{"No Finding": 1}] * 4
    records = tuple(
        replace(r, labels=known) for r, known in zip(images.records, labels, strict=True)
    )
    queries = replace(images, logits=logits, records=records)
    return data_of(encoder, queries, images_of(encoder, maps[:0], {}), [], images.embedding[:0])


def test_the_explained_finding_is_drawn_where_it_reaches_its_threshold(
    data: EvaluationData,
) -> None:
    finding, drawn = shown_by_default(data.encoder.checkpoint, data.queries.logits)
    assert {data.findings[index] for index in finding} == {MASS}
    assert drawn.tolist() == [True, True, True, False, True, False, False, False]


def test_a_map_counts_where_its_highest_point_lies_and_one_that_is_not_drawn_as_none(
    data: EvaluationData,
) -> None:
    found = default_maps(data, Explainer(data))
    assert found.any_box[:4].tolist() == [1, 0, 1, 0]
    assert found.own_box[:4].tolist() == [1, 0, 0, 0]  # on the third it lies in another finding's
    assert found.drawn[:4].tolist() == [1, 1, 1, 0]
    assert found.area[:4] == pytest.approx([1 / 16, 1 / 16, 2 / 16, 1 / 16], abs=0.01)
    assert np.isnan(found.any_box[4:]).all()
    assert found.healthy[4:].tolist() == [1, 0, 0, 0]
    assert np.isnan(found.healthy[:4]).all()


def test_the_report_says_both_with_chance(data: EvaluationData) -> None:
    found = default_maps(data, Explainer(data))
    rows = {row[1]: row for row in default_table(data, found).rows}
    assert rows["its highest point lies in a box"][2].value == 0.5
    assert rows["its highest point lies in a box"][3].value == pytest.approx(5 / 64, abs=0.01)
    assert rows["its highest point lies in a box of that finding"][2].value == 0.25
    assert rows["healthy images on which a map is drawn"][2].value == 0.25
    assert "On 0.250" in default_words(data, found)
