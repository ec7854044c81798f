"""The study from data to section, on images whose maps are known to hit or to miss."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from xemplar_evaluator.data import EvaluationData
from xemplar_evaluator.localisation.maps import (
    BASELINES,
    EVIDENCE,
    GRAD_CAM,
    METHODS,
    UNIFORM,
    Explainer,
)
from xemplar_evaluator.localisation.measure import (
    THRESHOLDS,
    chosen_thresholds,
    measure,
    regions_of,
)
from xemplar_evaluator.localisation.pictures import extremes, most_frequent
from xemplar_evaluator.localisation.study import conclusion, localisation
from xemplar_evaluator.localisation.tables import RegionMean
from xemplar_evaluator.section import Cell, Estimate, Section, Table

from tests.evaluator.localisation.drawn import case, data_of, images_of
from xemplar.data.boxes import Box
from xemplar.errors import ConfigurationError, DatasetError
from xemplar.model.checkpoint import Checkpoint
from xemplar.model.densenet import MEAN, PROJECTION
from xemplar.model.encoder import Encoder, Precision, open_encoder

FINDING = "Mass"
INSIDE = Box(FINDING, FINDING, 0.5, 0.25, 0.75, 0.5)  # cell (row 1, column 2) of 4 x 4
SMALL = Box("Tumour", FINDING, 0.6, 0.3, 0.62, 0.32)  # within that cell
FAR = Box("Edema", "Edema", 0.0, 0.75, 0.25, 1.0)  # the lower left cell
IMAGES = 32


@pytest.fixture(scope="module")
def encoder(tiny: Checkpoint) -> Encoder:
    """On a usual image it finds nothing anywhere, and embeddings are the channels themselves."""
    usual = {MEAN: np.zeros((tiny.card.architecture.channels, 4, 4), np.float32)}
    weights = {name: value for name, value in tiny.weights.items() if name != PROJECTION}
    checkpoint = replace(tiny, weights=weights | usual)
    return open_encoder(checkpoint, precision=Precision.FLOAT32)


@pytest.fixture(scope="module")
def data(encoder: Encoder) -> EvaluationData:
    """Images of which one cell speaks for a mass, boxed there; on the first nothing is seen.

    Every third image also has a small box of another label, and the last an edema, boxed where
    nothing is; the one channel that is used speaks against an edema.
    """
    weights = encoder.checkpoint.weights["classifier.weight"]
    mass, edema = (encoder.checkpoint.card.findings.index(name) for name in (FINDING, "Edema"))
    speaks = int((weights[mass] - weights[edema]).argmax())
    assert weights[mass, speaks] > 0 > weights[edema, speaks]
    maps = np.zeros((IMAGES, weights.shape[1], 4, 4), np.float32)
    maps[1:, speaks, 1, 2] = np.linspace(1, 2, IMAGES - 1)
    boxes = {row: (INSIDE, SMALL) if row % 3 == 0 else (INSIDE,) for row in range(IMAGES)}
    boxes[IMAGES - 1] += (FAR,)
    queries = images_of(encoder, maps, boxes)
    tuning = images_of(encoder, maps[1:3], {0: (INSIDE,), 1: (INSIDE,)}, prefix="t")
    embedding = np.zeros((3, weights.shape[1]), np.float32)
    embedding[:, speaks] = 1
    cases = [case(n, FINDING, f"indexed{n}") for n in range(3)]
    return data_of(encoder, queries, tuning, cases, embedding)


@pytest.fixture(scope="module")
def told() -> list[int]:
    """Images that were done, as the study says."""
    return []


@pytest.fixture(scope="module")
def section(data: EvaluationData, told: list[int]) -> Section:
    return localisation(data, told.append)


@pytest.fixture(scope="module")
def apart(data: EvaluationData) -> Section:
    """The later half of the images is of another split; there are no boxes to tune on."""
    records = tuple(
        replace(image, split="test" if n < IMAGES // 2 else "box")
        for n, image in enumerate(data.queries.records)
    )
    queries = replace(data.queries, records=records)
    return localisation(
        replace(data, queries=queries, tuning=replace(data.tuning, maps={}, boxes={}))
    )


def table(section: Section, name: str) -> Table:
    return next(t for t in section.tables if t.name == f"localisation-{name}")


def cells(table: Table, column: str, *keys: str) -> Cell:
    row = next(row for row in table.rows if tuple(row[1 : 1 + len(keys)]) == keys)
    return row[list(table.columns).index(column)]


def test_a_map_in_the_box_hits_and_one_that_is_blank_counts_as_uniform(section: Section) -> None:
    # 31 images hit; the first is blank and scores the area of its box, a sixteenth
    pointing = cells(table(section, "finding-pointing-game"), GRAD_CAM, FINDING, FINDING)
    assert isinstance(pointing, Estimate)
    assert pointing.count == IMAGES
    assert pointing.value == pytest.approx((31 + 1 / 16) / 32, abs=0.001)


def test_chance_is_the_area_for_every_figure_and_stands_in_the_table(section: Section) -> None:
    methods = table(section, "methods")
    found = [
        cells(methods, name, UNIFORM)
        for name in ("pointing game", "relevance mass", "relevance rank", "IoU")
    ]
    assert all(isinstance(estimate, Estimate) for estimate in found)
    assert len({round(e.value, 6) for e in found if isinstance(e, Estimate)}) == 1
    ratio = cells(methods, "mass / area", UNIFORM)
    assert isinstance(ratio, Estimate)
    assert ratio.value == pytest.approx(1)


def test_every_method_stands_in_the_table_with_its_threshold_and_blank_maps(
    section: Section,
) -> None:
    methods = table(section, "methods")
    assert [row[1] for row in methods.rows] == list(METHODS)
    # both regions of the first image, where all maps are zero, and the edema
    assert cells(methods, "blank maps", GRAD_CAM) == 3
    assert cells(methods, "blank maps", UNIFORM) == 0
    # nobody indexed has an edema
    evidence = cells(methods, "pointing game", EVIDENCE)
    assert isinstance(evidence, Estimate)
    assert evidence.count == 43
    assert "there is none for 1 of 44 regions" in methods.caption


def test_iou_uses_the_threshold_that_the_tuning_images_choose(
    section: Section, data: EvaluationData
) -> None:
    spec = data.encoder.checkpoint.card.spec
    tuning = measure(data.tuning, Explainer(data), spec)
    m = METHODS.index(GRAD_CAM)
    wanted = THRESHOLDS[int(tuning.iou[:, m].mean(axis=0).argmax())]
    assert 0.05 < wanted < 0.95
    assert cells(table(section, "methods"), "threshold", GRAD_CAM) == wanted
    assert section.settings["thresholds of IoU and Dice"][GRAD_CAM] == wanted
    assert section.settings["boxes of the tuning split"] == 2
    assert "have 2 boxes, which is few" in table(section, "methods").caption


def test_without_boxes_to_tune_on_all_thresholds_are_a_half_and_the_report_says_so(
    apart: Section,
) -> None:
    methods = table(apart, "methods")
    assert {row[list(methods.columns).index("threshold")] for row in methods.rows} == {0.5}
    assert "The tuning images have no boxes" in methods.caption
    assert "have no boxes" in apart.settings["thresholds chosen on"]


def test_a_method_without_maps_on_the_tuning_images_keeps_a_half(data: EvaluationData) -> None:
    nobody = replace(data, candidates=replace(data.candidates, cases=()))
    spec = data.encoder.checkpoint.card.spec
    thresholds = chosen_thresholds(measure(data.tuning, Explainer(nobody), spec))
    assert THRESHOLDS[thresholds[METHODS.index(EVIDENCE)]] == 0.5


def test_sizes_part_the_regions(section: Section) -> None:
    sizes = table(section, "size-relevance-mass")
    # INSIDE and FAR cover a sixteenth; SMALL under 2 %
    assert [row[1:3] for row in sizes.rows] == [
        ["under 2 % of the image", 11],
        ["2 to 10 %", 33],
        ["over 10 %", 0],
    ]
    assert sizes.rows[2][3:] == [None] * 6


def test_the_long_table_names_no_file_and_no_patient(section: Section) -> None:
    regions = table(section, "regions")
    assert not regions.shown
    # 43 regions with all methods, and the edema, for which there is no evidence
    assert len(regions.rows) == 44 * len(METHODS) - 1
    assert all(str(row[0]).startswith("caseq") for row in regions.rows)
    written = repr(section.to_dict())
    assert "secret" not in written
    assert "patientq" not in written


def test_both_explanations_are_held_against_every_baseline(section: Section) -> None:
    differences = table(section, "differences")
    keys = [tuple(row[1:4]) for row in differences.rows]
    assert len(set(keys)) == len(keys) == 2 * 2 * len(BASELINES)
    gap = cells(differences, "difference", "relevance mass", GRAD_CAM, UNIFORM)
    assert isinstance(gap, Estimate)
    assert gap.low is not None
    assert gap.low > 0


def test_splits_stand_apart_in_every_table(apart: Section) -> None:
    """In the later half every map hits, but the edema's."""
    for shown in apart.tables[:-1]:
        assert [*dict.fromkeys(row[0] for row in shown.rows)] == ["test + box", "test", "box"]
    pointing = {row[0]: row[2] for row in table(apart, "methods").rows if row[1] == GRAD_CAM}
    assert pointing["test"].count + pointing["box"].count == pointing["test + box"].count == 44


def test_the_mean_of_findings_counts_each_finding_alike(section: Section) -> None:
    # 43 regions of a mass and one of an edema, whose map is blank and scores the area of its box
    methods = table(section, "methods")
    micro = cells(methods, "pointing game", GRAD_CAM)
    macro = cells(methods, "pointing game, mean of findings", GRAD_CAM)
    assert isinstance(micro, Estimate)
    assert isinstance(macro, Estimate)
    mass = (micro.value * 44 - 1 / 16) / 43
    assert macro.value == pytest.approx((mass + 1 / 16) / 2, abs=0.001)
    assert macro.low is not None


def test_pictures_are_png_files_that_show_the_boxes(section: Section) -> None:
    sheet, plot = section.pictures
    for picture in (sheet, plot):
        assert Image.open(io.BytesIO(picture.data)).format == "PNG"
        assert picture.title
    pixels = np.asarray(Image.open(io.BytesIO(sheet.data)).convert("RGB")).astype(int)
    green = (pixels[..., 1] > 200) & (pixels[..., 0] < 120) & (pixels[..., 2] < 120)
    assert green.sum() > 100


def test_the_contact_sheet_shows_best_median_and_worst_of_the_most_frequent(
    data: EvaluationData,
) -> None:
    spec = data.encoder.checkpoint.card.spec
    measured = measure(data.queries, Explainer(data), spec)
    assert most_frequent(measured)[0] == (FINDING, FINDING)
    best, _, worst = extremes(measured, (FINDING, FINDING))
    mass = measured.mass[:, METHODS.index(GRAD_CAM)]
    own = [n for n, r in enumerate(measured.regions) if r.label == FINDING]
    assert mass[best] == max(mass[own])
    assert mass[worst] == min(mass[own])
    assert measured.case_ids[worst] == "caseq0"  # the blank one
    # a finding with one region is shown once
    (edema,) = extremes(measured, ("Edema", "Edema"))
    assert measured.regions[edema].finding == "Edema"


def test_boxes_of_one_image_finding_and_label_are_one_region() -> None:
    second = replace(INSIDE, left=0.0, right=0.25)
    regions = list(regions_of({3: (INSIDE, SMALL, second), 1: (FAR,)}))
    assert [(r.row, r.finding, r.label, len(r.boxes)) for r in regions] == [
        (1, "Edema", "Edema", 1),
        (3, FINDING, FINDING, 2),
        (3, FINDING, "Tumour", 1),
    ]
    # two cells of 4 x 4
    assert regions[1].mask(8, 8).mean() == 2 / 16


def test_without_pytorch_grad_cam_the_error_says_what_to_install(
    data: EvaluationData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'xemplar\[evaluate\]'"):
        localisation(data)


def test_progress_is_told_in_images(section: Section, told: list[int]) -> None:
    assert sorted(set(told)) == list(range(1, IMAGES + 1))
    assert told == sorted(told)


def test_the_section_survives_json(section: Section) -> None:
    data = {picture.name: picture.data for picture in section.pictures}
    again = Section.from_dict(section.to_dict(), data)
    assert json.dumps(again.to_dict()) == json.dumps(section.to_dict())


def test_images_without_boxes_are_refused_with_the_files_that_would_do(
    data: EvaluationData,
) -> None:
    bare = replace(data, queries=replace(data.queries, maps={}, boxes={}))
    with pytest.raises(DatasetError, match=r"none of the 32 evaluated images has a radiologist's"):
        localisation(bare)


@pytest.mark.parametrize(
    ("gain", "images", "verdict"),
    [
        (lambda n: 0.3, 20, "it is better than the best baseline"),
        (lambda n: -0.3, 20, "it is worse than that map"),
        (lambda n: 0.3 * (-1) ** n, 20, "it is not shown to be better"),
        (lambda n: 0.3, 4, "there are too few patients to say more"),
    ],
)
def test_the_conclusion_follows_from_the_interval_of_the_difference(
    gain: Callable[[int], float], images: int, verdict: str
) -> None:
    values = np.full((images, len(METHODS)), 0.4)
    values[:, METHODS.index(UNIFORM)] = 0.1
    values[:, METHODS.index(GRAD_CAM)] += [gain(n) for n in range(images)]
    mean = RegionMean([f"patient{n}" for n in range(images)], 200, 0)
    words = conclusion("pointing game", GRAD_CAM, values, mean)
    assert verdict in words
    assert "0.400" in words


def test_where_a_method_has_no_map_there_is_no_conclusion() -> None:
    values = np.full((6, len(METHODS)), 0.4)
    values[:, METHODS.index(EVIDENCE)] = np.nan
    mean = RegionMean([f"patient{n}" for n in range(6)], 200, 0)
    assert "there is no similarity evidence" in conclusion("pointing", EVIDENCE, values, mean)


def test_the_text_says_what_was_found_and_how_often_nothing_was_shown(section: Section) -> None:
    text = " ".join(section.text)
    assert "44 boxes on 32 of the evaluated images, of 16 patients" in text
    assert "In 3 of 44 regions Grad-CAM is blank" in text
    assert "4 x 4 cells" in text
