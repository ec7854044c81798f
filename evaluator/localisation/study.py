"""Localisation study, from evaluation data to a section of the report."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from xemplar.errors import DatasetError

from ..data import EvaluationData
from ..section import Estimate, Section
from . import pictures
from .default import default_maps, default_table, default_words
from .maps import (
    BASELINES,
    EVIDENCE,
    GRAD_CAM,
    METHODS,
    NEIGHBOURS,
    SIGMA,
    Explainer,
)
from .measure import (
    SIDE,
    THRESHOLDS,
    Figures,
    LocalisationScores,
    chosen_thresholds,
    measure,
)
from .metrics import DIGITS
from .tables import (
    RegionMean,
    Rows,
    by_name,
    difference,
    differences_table,
    group_tables,
    methods_table,
    regions_table,
    threshold_note,
)


def localisation(data: EvaluationData, on_progress: Callable[[int], None] | None = None) -> Section:
    """Measures whether maps lie where radiologists drew boxes.

    Args:
        data: images with boxes and their maps, and the indexed cases.
        on_progress: called with the number of images done.

    Raises:
        DatasetError: no query image has a box.
        ConfigurationError: pytorch-grad-cam is not installed.
    """
    if not data.queries.boxes:
        raise DatasetError(
            f"none of the {len(data.queries)} evaluated images has a radiologist's box of a "
            "finding that the checkpoint knows; put boxes.csv (file,label,x,y,w,h,provenance), "
            "BBox_List_2017.csv or stage_2_train_labels.csv into the data set's folder, name "
            "another box file, or evaluate the splits whose images have boxes"
        )
    explainer, spec = Explainer(data), data.encoder.checkpoint.card.spec
    # on matrices this small, threads that wait for each other cost far more than they give
    with threadpool_limits(limits=1, user_api="blas"):
        thresholds = chosen_thresholds(measure(data.tuning, explainer, spec))
        measured = measure(data.queries, explainer, spec, on_progress)
        unasked = default_maps(data, explainer)
    tuned_on = sum(len(boxes) for boxes in data.tuning.boxes.values())
    mean = RegionMean(measured.patients, data.settings.resamples, data.settings.seed)
    parts = _parts(data, measured)
    return Section(
        name="localisation",
        title="Explanation by saliency: do the maps lie where radiologists drew boxes?",
        summary=f"{_summary(measured, mean)} {default_words(data, unasked)}",
        text=_text(data, measured, mean),
        tables=(
            methods_table(measured, parts, thresholds, tuned_on, mean),
            default_table(data, unasked),
            differences_table(measured, parts, mean),
            *group_tables(measured, parts, mean),
            regions_table(measured, thresholds),
        ),
        pictures=(
            pictures.contact_sheet(measured, data.queries, explainer, spec),
            pictures.methods_plot(measured, mean),
        ),
        settings=_settings(data, thresholds, tuned_on),
    )


def _parts(data: EvaluationData, measured: LocalisationScores) -> Mapping[str, Rows]:
    """Regions of all splits together, and of each, bool (n,), where it has some."""
    rows = [region.row for region in measured.regions]
    parts = {name: members[rows] for name, members in data.parts.items()}
    return {name: members for name, members in parts.items() if members.any()}


def _settings(
    data: EvaluationData, thresholds: npt.NDArray[np.intp], tuned_on: int
) -> Mapping[str, Any]:
    """Lists the settings that a figure depends on, by name."""
    return {
        "images compared at, longer side in pixels": SIDE,
        "ties": f"expected value; equal to {DIGITS} digits of the map's maximum",
        "thresholds of IoU and Dice": {
            method: THRESHOLDS[index] for method, index in zip(METHODS, thresholds, strict=True)
        },
        "thresholds tried": list(THRESHOLDS),
        "thresholds chosen on": threshold_note(tuned_on),
        "tuning split": data.settings.tuning_split,
        "boxes of the tuning split": tuned_on,
        "boxes left out, as no output stands for their label": dict(data.boxes_left_out),
        "cases of the similarity evidence": NEIGHBOURS,
        "sigma of the Gaussian, in sides of the input": SIGMA,
        "bootstrap resamples, over patients": data.settings.resamples,
        "seed": data.settings.seed,
    }


def _text(data: EvaluationData, measured: LocalisationScores, mean: RegionMean) -> tuple[str, ...]:
    """Writes the paragraphs: question, result, and what it is worth."""
    rows, columns = next(iter(data.queries.maps.values())).shape[1:]
    boxes = sum(len(region.boxes) for region in measured.regions)
    conclusions = [
        conclusion(name, method, values, mean)
        for name, values in by_name(measured).items()
        for method in (GRAD_CAM, EVIDENCE)
    ]
    return (
        f"Radiologists drew {boxes} boxes on {len(data.queries.boxes)} of the evaluated images, "
        f"of {len(set(measured.patients))} patients. Each map is made for the finding that the "
        "box is about and laid onto the image. The pointing game asks whether its hottest spot "
        "lies in a box; the relevance mass is the share of the whole map that lies there, so it "
        "also tells whether the map points elsewhere besides.",
        "Chance is what a map scores that knows nothing: the share of the image that the boxes "
        f"cover, here {measured.area.mean():.3f} on average. Two more baselines do not look at "
        "the image either, but know where to look on any: the mean Grad-CAM of the finding over "
        "the indexed cases, and a spot in the middle of the chest. A map explains this image only "
        "as far as it is better than all three.",
        " ".join([*conclusions, _blank(measured)]),
        "What this does not prove: that the network is right, or right for the right reason. A "
        "box also holds healthy lung, one finding often brings others, and a map beside the box "
        "may show what the network did look at. The maps have "
        f"{rows} x {columns} cells, so they cannot outline what is smaller than a cell. Figures "
        "near chance do say that an overlay must not be read as the location of the finding.",
    )


def _summary(measured: LocalisationScores, mean: RegionMean) -> str:
    """Summarises Grad-CAM by the pointing game, the first of the figures."""
    name, values = next(iter(by_name(measured).items()))
    return f"{conclusion(name, GRAD_CAM, values, mean)} {_blank(measured)}"


def conclusion(name: str, method: str, values: Figures, mean: RegionMean) -> str:
    """Compares a method with the best of the baselines, in words.

    Args:
        name: of the figure.
        method: one of `METHODS`.
        values: float64 (n, M), the figure of every region and method.
        mean: of the same regions.
    """
    own = mean(values[:, METHODS.index(method)])
    found = {baseline: mean(values[:, METHODS.index(baseline)]) for baseline in BASELINES}
    best = max(BASELINES, key=lambda baseline: _value(found[baseline]))
    gap = mean(difference(values, method, best))
    if own is None or gap is None:
        return f"By the {name}, there is no {method} to judge."
    if gap.low is None or gap.high is None:
        verdict = "there are too few patients to say more"
    elif gap.low > 0:
        verdict = "it is better than the best baseline"
    elif gap.high < 0:
        verdict = "it is worse than that map, which does not look at the image"
    else:
        verdict = "it is not shown to be better than that map, which does not look at the image"
    return (
        f"By the {name}, {method} scores {own}, and the best baseline ({best}) "
        f"{found[best]}; the difference on the same regions is {gap}: {verdict}."
    )


def _blank(measured: LocalisationScores) -> str:
    """States how often Grad-CAM is blank."""
    blank = int(measured.blank[:, METHODS.index(GRAD_CAM)].sum())
    return (
        f"In {blank} of {len(measured)} regions Grad-CAM is blank: nothing on the image speaks for "
        "the finding that the radiologist boxed. A blank map counts as a uniform one."
    )


def _value(found: Estimate | None) -> float:
    return -np.inf if found is None else found.value
