"""Tables of the localisation study: methods, baselines, findings and sizes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bootstrap import estimate, estimate_statistic
from ..section import Cell, Estimate, Table
from .maps import BASELINES, EVIDENCE, GRAD_CAM, METHODS, NEIGHBOURS
from .measure import SIDE, THRESHOLDS, Figures, LocalisationScores

Rows = npt.NDArray[np.bool_]

COMPARED = (GRAD_CAM, EVIDENCE, *BASELINES)
"""Methods in the tables by finding and size: both explanations of the service, and baselines."""

SIZES: Mapping[str, tuple[float, float]] = {
    "under 2 % of the image": (0, 0.02),
    "2 to 10 %": (0.02, 0.1),
    "over 10 %": (0.1, np.inf),
}

REGION = (
    "A region is all boxes of one image with the same finding and label. Intervals are over "
    "patients (95 %, bootstrap)."
)


@dataclass(frozen=True)
class RegionMean:
    """Averages figures of the same regions, with an interval over their patients.

    Attributes:
        patients: of the n regions' images.
        resamples: of the bootstrap.
        seed: likewise.
    """

    patients: Sequence[str]
    resamples: int
    seed: int

    def __call__(self, values: Figures, rows: Rows | None = None) -> Estimate | None:
        """Mean of values, float64 (n,), over the regions that ``rows``, bool (n,), asks for."""
        chosen = range(len(values)) if rows is None else np.flatnonzero(rows).tolist()
        patients = [self.patients[n] for n in chosen]
        return estimate(values[chosen], patients, self.resamples, self.seed)

    def of_groups(self, values: Figures, groups: Sequence[str], rows: Rows) -> Estimate | None:
        """Mean over groups of the mean within each, so that frequent ones count no more.

        Args:
            values: float64 (n,); NaN where not defined, and left out.
            groups: of each region, such as its finding.
            rows: bool (n,), regions that count.
        """
        chosen = np.flatnonzero(rows & np.isfinite(values))
        if not len(chosen):
            return None
        _, group = np.unique(np.array(groups)[chosen], return_inverse=True)
        own = values[chosen]

        def mean(times: npt.NDArray[np.float64]) -> float:
            count = np.bincount(group, times)
            there = count > 0
            return float(np.mean(np.bincount(group, times * own)[there] / count[there]))

        patients = [self.patients[n] for n in chosen.tolist()]
        return estimate_statistic(mean, patients, self.resamples, self.seed)


def methods_table(
    measured: LocalisationScores,
    parts: Mapping[str, Rows],
    thresholds: npt.NDArray[np.intp],
    tuned_on: int,
    mean: RegionMean,
) -> Table:
    """All methods over all regions, and over those of each split.

    Args:
        measured: of the queries.
        parts: splits -> its regions, bool (n,); all of them first.
        thresholds: of each method, int (M,), indices in `THRESHOLDS`.
        tuned_on: boxes of the tuning images that they were chosen on.
        mean: of the same regions.
    """
    rows: list[list[Cell]] = []
    findings = [region.finding for region in measured.regions]
    for part, members in parts.items():
        for m, method in enumerate(METHODS):
            figures = (
                measured.mass[:, m],
                measured.mass[:, m] / measured.area,
                measured.rank[:, m],
                measured.iou[:, m, thresholds[m]],
                measured.dice[:, m, thresholds[m]],
            )
            pointing = measured.pointing[:, m]
            cells = (mean(values, members) for values in figures)
            blank = int(measured.blank[members, m].sum())
            rows.append(
                [
                    *(part, method, mean(pointing, members)),
                    mean.of_groups(pointing, findings, members),
                    *(*cells, THRESHOLDS[thresholds[m]], blank),
                ]
            )
    columns = (
        *("images", "method", "pointing game", "pointing game, mean of findings"),
        *("relevance mass", "mass / area", "relevance rank"),
        *("IoU", "Dice", "threshold", "blank maps"),
    )
    missing = int(np.isnan(measured.mass[:, METHODS.index(EVIDENCE)]).sum())
    caption = (
        f"{REGION} Maps and boxes are compared on the image, longer side {SIDE} pixels. By chance "
        f"all of pointing game, mass and rank are the uniform map's, {measured.area.mean():.3f}: "
        "the mean share of the image that a region covers; mass / area is then 1. It is the mean "
        "over regions, in which small ones weigh most. The mean of findings counts each finding "
        "alike, however many regions it has. IoU and Dice are of the map at or above "
        f"threshold times its maximum. {threshold_note(tuned_on)} Blank maps are zero everywhere "
        "and scored as the uniform map. Similarity evidence is the mean towards the "
        f"{NEIGHBOURS} most similar cases of other patients with the finding; there is none for "
        f"{missing} of {len(measured)} regions, which are left out of its row. EigenCAM does not "
        "know the finding, and the sign of its component is arbitrary: it is as the library "
        "leaves it."
    )
    return Table("localisation-methods", "Maps against radiologists' boxes", columns, rows, caption)


def threshold_note(boxes: int) -> str:
    """States how the thresholds of IoU and Dice were chosen."""
    if not boxes:
        return (
            "The tuning images have no boxes, so nothing could be chosen: the threshold is 0.5 for "
            "all methods, and IoU and Dice could be better at another."
        )
    few = ", which is few: IoU and Dice could be better at another" if boxes < 50 else ""
    return (
        "Each method's threshold is the one with the greatest mean IoU on the tuning images, which "
        f"have {boxes} boxes{few}."
    )


def differences_table(
    measured: LocalisationScores, parts: Mapping[str, Rows], mean: RegionMean
) -> Table:
    """Both explanations of the service against each baseline, region by region."""
    rows: list[list[Cell]] = [
        [part, name, method, baseline, mean(difference(values, method, baseline), members)]
        for part, members in parts.items()
        for name, values in by_name(measured).items()
        for method in (GRAD_CAM, EVIDENCE)
        for baseline in BASELINES
    ]
    caption = (
        f"{REGION} The mean of the differences on the same regions. Only an interval that lies "
        "above 0 says that a map knows more of this image than the baseline does."
    )
    columns = ("images", "figure", "method", "baseline", "difference")
    title = "What the explanations know beyond the baselines"
    return Table("localisation-differences", title, columns, rows, caption)


def by_name(measured: LocalisationScores) -> Mapping[str, Figures]:
    """The two figures that conclusions are drawn from, each float64 (n, M)."""
    return {"pointing game": measured.pointing, "relevance mass": measured.mass}


def difference(values: Figures, method: str, baseline: str) -> Figures:
    """Region by region, method minus baseline, float64 (n,); NaN where there is no map."""
    own: Figures = values[:, METHODS.index(method)] - values[:, METHODS.index(baseline)]
    return own


def group_tables(
    measured: LocalisationScores, parts: Mapping[str, Rows], mean: RegionMean
) -> list[Table]:
    """Pointing game and relevance mass by finding and label, and by size of the region."""
    pairs = [(region.finding, region.label) for region in measured.regions]
    findings: dict[tuple[str, ...], Rows] = {
        pair: np.array([p == pair for p in pairs]) for pair in sorted(set(pairs))
    }
    sizes: dict[tuple[str, ...], Rows] = {
        (name,): (low <= measured.area) & (measured.area < high)
        for name, (low, high) in SIZES.items()
    }
    return [
        _group_table(measured, parts, mean, figure, what, keys, groups)
        for what, keys, groups in (
            ("finding", ("finding", "label of the boxes"), findings),
            ("size", ("size of the region",), sizes),
        )
        for figure in by_name(measured)
    ]


def _group_table(
    measured: LocalisationScores,
    parts: Mapping[str, Rows],
    mean: RegionMean,
    figure: str,
    what: str,
    keys: Sequence[str],
    groups: Mapping[tuple[str, ...], Rows],
) -> Table:
    values = by_name(measured)[figure]
    rows: list[list[Cell]] = []
    for part, inside in parts.items():
        for key, group in groups.items():
            members = group & inside
            area = float(measured.area[members].mean()) if members.any() else None
            cells = (mean(values[:, METHODS.index(method)], members) for method in COMPARED)
            rows.append([part, *key, int(members.sum()), area, *cells])
    return Table(
        name=f"localisation-{what}-{figure.replace(' ', '-')}",
        title=f"{figure.capitalize()} by {what}",
        columns=("images", *keys, "regions", "mean area", *COMPARED),
        rows=rows,
        caption=f"{REGION} The mean area of the regions, as a share of the image, is chance.",
    )


def regions_table(measured: LocalisationScores, thresholds: npt.NDArray[np.intp]) -> Table:
    """Every region and method, for those who want to compute further; not printed."""
    columns = ("case_id", "finding", "label", "boxes", "area", "method")
    figures = ("pointing game", "relevance mass", "relevance rank", "IoU", "Dice", "blank")
    return Table(
        "localisation-regions",
        "Every region and method",
        (*columns, *figures),
        list(_region_rows(measured, thresholds)),
        f"{REGION} Methods without a map for a region are missing.",
        shown=False,
    )


def _region_rows(
    measured: LocalisationScores, thresholds: npt.NDArray[np.intp]
) -> Iterable[list[Cell]]:
    for n, region in enumerate(measured.regions):
        of_image = (measured.case_ids[n], region.finding, region.label, len(region.boxes))
        for m, method in enumerate(METHODS):
            if not np.isnan(measured.mass[n, m]):
                figures = (
                    measured.pointing[n, m],
                    measured.mass[n, m],
                    measured.rank[n, m],
                    measured.iou[n, m, thresholds[m]],
                    measured.dice[n, m, thresholds[m]],
                )
                blank = int(measured.blank[n, m])
                yield [*of_image, float(measured.area[n]), method, *map(float, figures), blank]
