"""Tables of the probability study."""

from collections.abc import Mapping

import numpy as np

from xemplar.model.checkpoint import Card

from ..section import Cell, Estimate, Table
from .scores import BINS, CALIBRATED, Judged

ROUNDING = 1e-3
"""Differences of scores, in thousandths, that float32 alone may make."""

SPREAD = "Intervals are over patients, drawn with replacement."


def scores_table(parts: Mapping[str, Judged]) -> Table:
    """Scores each way of saying probabilities, on all images and by split."""
    rows: list[list[Cell]] = []
    for part, judged in parts.items():
        for name, said in judged.said.items():
            looked = judged.known & np.isfinite(said)
            error, luck = (
                judged.calibration_error(said)
                if looked.sum() == judged.known.sum()
                else (None, None)
            )
            rows.append(
                [
                    part,
                    name,
                    judged.mean(judged.brier(said), looked),
                    judged.mean(judged.log_loss(said), looked),
                    error,
                    luck,
                    float(said[looked].mean()) if looked.any() else None,
                    float(judged.present[looked].mean()) if looked.any() else None,
                ]
            )
    return Table(
        "probability-scores",
        "How far probabilities are from what is so",
        [
            "images",
            "probability",
            "Brier score, thousandths",
            "log loss, thousandths",
            "calibration error",
            "of it by luck",
            "mean as said",
            "share in fact",
        ],
        rows,
        "Lower is better. Means over known labels of all findings. The calibration error is the "
        f"mean gap in {BINS} bins of equally many labels; the column beside it is that of a "
        f"perfect calibration on so many images. {SPREAD}",
    )


def differences_table(parts: Mapping[str, Judged]) -> Table:
    """Compares the calibrated probability with the others on the same labels."""
    rows: list[list[Cell]] = []
    for part, judged in parts.items():
        own, *others = judged.said.items()
        for name, said in others:
            where = judged.known & np.isfinite(said)
            for score, losses in (("Brier score", judged.brier), ("log loss", judged.log_loss)):
                found = judged.mean(losses(own[1]) - losses(said), where)
                rows.append([part, name, score, found, verdict(found)])
    return Table(
        "probability-differences",
        f"The {CALIBRATED} probability against the others",
        ["images", "against", "score", "difference", "verdict"],
        rows,
        "In thousandths; below 0 the calibrated one is better. The verdict is better or worse only "
        f"where the interval leaves out 0. {SPREAD}",
    )


def verdict(difference: Estimate | None) -> str:
    """Names a difference of losses by its interval."""
    if difference is None or difference.low is None or difference.high is None:
        return "too few patients"
    if difference.low > ROUNDING:
        return "worse"
    return "better" if difference.high < -ROUNDING else "not told apart"


def calls_table(parts: Mapping[str, Judged]) -> Table:
    """Counts what is called, and of how many healthy images something is."""
    return Table(
        "probability-calls",
        "Calls: findings from their threshold on",
        [
            "images",
            "calls an image",
            "labelled an image",
            "share of calls true",
            "the same at random",
            "share found",
            "healthy images with a call",
            "explained finding is labelled, ill images",
            "the same at random",
        ],
        [[part, *_calls(judged)] for part, judged in parts.items()],
        "At random: as many calls of each finding, and as many images with each explained finding, "
        f"but on other images. An image is healthy if no finding is labelled. {SPREAD}",
    )


def _calls(judged: Judged) -> list[Cell]:
    calls, present, known = judged.calls, judged.present.astype(float), judged.known
    prevalence = present.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    made = (calls & known).sum(axis=0)
    first = judged.first[:, None]
    right = np.take_along_axis(present, first, axis=1)[:, 0]
    ill = judged.ill & np.take_along_axis(known, first, axis=1)[:, 0]
    explained = np.bincount(judged.first[ill], minlength=len(made))
    among = (present[ill].sum(axis=0) / max(ill.sum(), 1)) @ explained / max(ill.sum(), 1)
    return [
        judged.mean(calls.sum(axis=1).astype(float), judged.labelled),
        judged.mean(present.sum(axis=1), judged.labelled),
        judged.mean(present, calls & known),
        float(made @ prevalence / made.sum()) if made.any() else None,
        judged.mean(calls.astype(float), judged.present),
        judged.mean(calls.any(axis=1).astype(float), judged.healthy),
        judged.mean(right, ill),
        float(among) if ill.any() else None,
    ]


def findings_table(judged: Judged, card: Card) -> Table:
    """Compares base rate, probability, share in fact and calls, finding by finding."""
    rows: list[list[Cell]] = []
    said, columns = judged.said[CALIBRATED], range(len(card.findings))
    for column, finding, one in zip(columns, card.findings, card.calibration, strict=True):
        known = judged.known[:, column]
        made = int((judged.calls[:, column] & known).sum())
        rows.append(
            [
                finding,
                one.base_rate,
                float(said[known, column].mean()) if known.any() else None,
                judged.mean(judged.present[:, column].astype(float), known),
                int(known.sum()),
                one.val_positives,
                "never" if one.threshold is None else one.threshold,
                made,
                int((judged.calls & judged.present)[:, column].sum()),
                float((judged.first == column).mean()),
            ]
        )
    return Table(
        "probability-findings",
        "By finding",
        [
            "finding",
            "base rate",
            "mean as said",
            "share in fact",
            "images",
            "validation images with it",
            "called from",
            "calls",
            "of them true",
            "share of images where it is explained",
        ],
        rows,
        "The base rate and the validation images are the checkpoint's; the rest is of the "
        f"evaluated images. {SPREAD}",
    )


def never_called(judged: Judged, card: Card) -> list[str]:
    """Lists the findings without a call, and says which of them have no threshold."""
    return [
        finding if one.threshold is not None else f"{finding} (no threshold)"
        for finding, one, calls in zip(
            card.findings, card.calibration, judged.calls.sum(axis=0), strict=True
        )
        if not calls
    ]


def reliability_table(judged: Judged) -> Table:
    """Compares the calibrated probability with the share of labels present, bin by bin."""
    said = judged.said[CALIBRATED]
    place = np.full(said.shape, -1)
    place[judged.known] = judged.bins(said)
    rows: list[list[Cell]] = []
    for number in range(place.max() + 1):
        here = place == number
        if here.any():
            so = judged.mean(judged.present.astype(float), here)
            rows.append([float(said[here].mean()), so, int(here.sum())])
    return Table(
        "probability-reliability",
        "Reliability: probability as said, and share in fact",
        ["mean as said", "share in fact", "labels"],
        rows,
        f"Labels of all findings in {BINS} bins of equally many. {SPREAD}",
    )
