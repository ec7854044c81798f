"""The whole study on the tiny network: what the report gets."""

import json
import sys
from dataclasses import replace
from importlib.metadata import version

import pytest
from xemplar_evaluator.faithfulness.study import faithfulness
from xemplar_evaluator.section import Estimate, Section

from tests.evaluator.faithfulness.made import SMALL, made_data
from xemplar.data.boxes import Box
from xemplar.errors import ConfigurationError
from xemplar.model.checkpoint import Checkpoint

BOXES = {
    row: (Box(name, name, 0.25, 0.25, 0.75, 0.75),)
    for row, name in enumerate(("Consolidation", "Edema", "Fibrosis", "Mass") * 2)
}


@pytest.fixture(scope="module")
def progress() -> list[int]:
    return []


@pytest.fixture(scope="module")
def section(tiny: Checkpoint, progress: list[int]) -> Section:
    return faithfulness(made_data(tiny, BOXES), progress.append)


def test_progress_goes_from_0_to_100(section: Section, progress: list[int]) -> None:
    assert (progress[0], progress[-1]) == (0, 100)
    assert progress == sorted(progress)


def test_each_metric_stands_beside_chance_and_the_poster(section: Section) -> None:
    table = section.tables[0]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    posters = [row["poster"] for row in rows.values() if row["poster"] is not None]
    assert posters[:4] == [2.05, 0.55, 0.18, 10.32]
    begins = rows["probability before Pixel Flipping"]
    assert begins["Grad-CAM"] == begins["random map"]
    mass = rows["Relevance Mass Accuracy"]
    assert isinstance(mass["Grad-CAM"], Estimate)
    assert isinstance(mass["chance or limit"], Estimate)
    # boxes of half the width and half the height of the image
    assert mass["chance or limit"].value == 0.25
    assert rows["Complexity, share of its maximum"]["chance or limit"] == 1
    assert "not comparable at face value" in table.caption
    assert "4 steps" in table.caption


def test_the_randomisation_has_a_row_for_each_stage_and_one_for_what_comes_for_free(
    section: Section,
) -> None:
    rows = section.tables[1].rows
    names = [row[0] for row in rows]
    assert len(names) == 7
    assert (names[0], names[5]) == ("classifier", "+ first layer")
    assert names[6] == "nothing, but another patient's image"


def test_masking_compares_three_orders_in_quality_and_time(section: Section) -> None:
    rows = {row[0]: row[1:] for row in section.tables[2].rows}
    assert list(rows) == ["similarity evidence", "XAITK similarity scoring", "random order"]
    difference, seconds = rows["random order"][2:]
    assert isinstance(difference, Estimate)
    assert difference.value == pytest.approx(0, abs=1e-6)
    assert seconds is None
    evidence, perturbation = (rows[name][3] for name in list(rows)[:2])
    assert isinstance(evidence, float)
    assert isinstance(perturbation, float)
    assert 0 < evidence < perturbation


def test_it_goes_through_json_and_names_no_patient_and_no_file(section: Section) -> None:
    text = json.dumps(section.to_dict(), allow_nan=False)
    for secret in ("patient-", "other-", ".png", "/secret"):
        assert secret not in text
    pictures = {picture.name: picture.data for picture in section.pictures}
    assert Section.from_dict(json.loads(text), pictures).text == list(section.text)
    images = section.tables[-1]
    assert not images.shown
    assert {len(str(row[0])) for row in images.rows} == {16}


def test_its_pictures_are_png_files(section: Section) -> None:
    names = [picture.name for picture in section.pictures]
    assert names == ["faithfulness-randomisation", "faithfulness-strip", "faithfulness-masking"]
    assert all(picture.data.startswith(b"\x89PNG") for picture in section.pictures)


def test_every_setting_is_written_down(section: Section) -> None:
    for name in ("quantus_samples", "lipschitz_samples", "flipping_steps", "randomisation_samples"):
        assert section.settings[name] == getattr(SMALL, name)
    assert section.settings["flipping_baseline"] == "black"
    assert section.settings["quantus"] == version("quantus")


def test_a_seed_gives_the_same_figures_again(tiny: Checkpoint, section: Section) -> None:
    again = faithfulness(made_data(tiny, BOXES))
    for one, other in zip(section.tables, again.tables, strict=True):
        timed = one.name == "faithfulness-masking"
        assert [row[: -1 if timed else None] for row in one.rows] == [
            row[: -1 if timed else None] for row in other.rows
        ]


def test_images_without_boxes_and_labels_leave_grad_cam_unjudged(tiny: Checkpoint) -> None:
    section = faithfulness(made_data(tiny))
    assert section.text[0].startswith("No image of these splits has a box or a label")
    assert [row[2] for row in section.tables[0].rows] == [None] * 6
    assert [picture.name for picture in section.pictures] == ["faithfulness-masking"]
    assert section.failures == ()


def test_images_with_labels_but_no_boxes_have_no_mass_accuracy(tiny: Checkpoint) -> None:
    labels = {row: {"Consolidation": 1} for row in range(6)}
    settings = replace(SMALL)
    object.__setattr__(settings, "masking_pairs", 0)  # as where no query has an indexed case
    section = faithfulness(made_data(tiny, labels=labels, settings=settings))
    rows = {row[0]: row for row in section.tables[0].rows}
    assert rows["Relevance Mass Accuracy"][2:5] == (None, None, None)
    assert isinstance(rows["Pixel Flipping"][2], Estimate)
    assert section.text[2].startswith("No query has an indexed case")


def test_without_quantus_the_error_says_what_to_install(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "xemplar_evaluator.faithfulness.quantus_metrics"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delitem(sys.modules, "xemplar_evaluator.faithfulness.tables", raising=False)
    monkeypatch.setitem(sys.modules, "quantus.metrics.complexity.complexity", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'xemplar\[evaluate\]'"):
        faithfulness(made_data(tiny))
