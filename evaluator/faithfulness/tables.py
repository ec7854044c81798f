"""The figures of the three parts, as the report prints them, with what chance is beside each."""

from collections.abc import Mapping, Sequence
from math import log
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ..bootstrap import estimate
from ..data import EvaluationData
from ..section import Cell, Estimate, Table
from .cascading_randomisation import DRAWS, LIMIT, STAGES, CascadingRandomisation
from .masking import ORDERS, RANDOM, RANDOM_ORDERS, MaskingCurves
from .perturbation import KEPT
from .quantus_metrics import (
    BASELINE,
    BEFORE,
    COMPLEXITY,
    FLIPPING,
    LIPSCHITZ,
    MASS,
    NOISE,
    QuantusScores,
)
from .samples import ExplanationSample

POSTER: Mapping[str, float] = MappingProxyType(
    {LIPSCHITZ: 2.05, FLIPPING: 0.55, MASS: 0.18, COMPLEXITY: 10.32}
)
"""Table 2 of the poster, on Grad-CAM of its own network; its settings are not known."""

POSTER_SIZE = 224
BETTER: Mapping[str, str] = MappingProxyType(
    {LIPSCHITZ: "lower", FLIPPING: "lower", MASS: "higher", COMPLEXITY: "lower"}
)


def mean_over_patients(
    values: npt.ArrayLike, rows: Sequence[int], data: EvaluationData
) -> Estimate | None:
    """Mean of one value for each row of the queries, with its interval over patients."""
    patients = [data.queries.patients[row] for row in rows]
    return estimate(values, patients, data.settings.resamples, data.settings.seed)


def quantus_table(found: QuantusScores, data: EvaluationData) -> Table:
    """One row for each metric: Grad-CAM, a random map, chance or limit, and the poster."""
    settings = data.settings
    pixels = data.encoder.checkpoint.card.spec.size**2
    rows = [sample.row for sample in found.samples]

    def row(name: str, title: str, limit: Cell, divisor: float, poster: float) -> tuple[Cell, ...]:
        means = (
            mean_over_patients(scores[name] / divisor, rows, data)
            for scores in (found.grad_cam, found.random)
        )
        return (title, BETTER[name], *means, limit, poster)

    share = mean_over_patients(mask_shares(found.samples), rows, data)
    most, poster_most = log(pixels), log(POSTER_SIZE**2)
    return Table(
        "faithfulness-quantus",
        "Quantus on Grad-CAM",
        ("metric", "better", "Grad-CAM", "random map", "chance or limit", "poster"),
        [
            row(LIPSCHITZ, LIPSCHITZ, 0.0, 1, POSTER[LIPSCHITZ]),
            row(FLIPPING, FLIPPING, None, 1, POSTER[FLIPPING]),
            (
                BEFORE,
                None,
                *2 * (mean_over_patients(found.grad_cam[BEFORE], rows, data),),
                None,
                None,
            ),
            row(MASS, MASS, share, 1, POSTER[MASS]),
            row(COMPLEXITY, COMPLEXITY, most, 1, POSTER[COMPLEXITY]),
            row(
                *(COMPLEXITY, f"{COMPLEXITY}, share of its maximum", 1.0, most),
                POSTER[COMPLEXITY] / poster_most,
            ),
        ],
        f"{len(found.samples)} images, one finding of each; {found.blank} more were left out, as "
        "their Grad-CAM is 0 everywhere, which no metric is defined for. Random map: uniform noise "
        "in Grad-CAM's cells, as smooth as it, on the same images; where no other chance is given, "
        f"that is it. {LIPSCHITZ}: the largest shift of the map, over that of the image, in "
        f"{settings.lipschitz_samples} copies with Gaussian noise of {NOISE} (grey values 0 to 1); "
        "the random map of an image is drawn once, so it never moves: 0 is reached by every map "
        f"that does not look at the image. {FLIPPING}: mean uncalibrated probability while "
        f"pixels become '{BASELINE}' (the image's darkest) in the order "
        f"of the map, in {settings.flipping_steps} steps; below it, the probability of the image "
        f"as it is, where all of them begin. {MASS}: share "
        "of the map inside the radiologists' boxes; chance is the boxes' share of the image. "
        f"{COMPLEXITY}: entropy of the map over {pixels} pixels; the limit is its maximum, that of "
        "a uniform map. Each map is divided by its own maximum first. The poster's figures (its "
        "Table 2) come from another network, other images and unknown settings: they are "
        "not comparable at face value.",
    )


def randomisation_table(found: CascadingRandomisation, data: EvaluationData) -> Table:
    """One row for each stage, and the likeness of different images' maps."""
    rows = [sample.row for sample in found.samples]
    shown = int(np.isfinite(found.correlation[-1]).sum())
    stages = zip(STAGES, found.correlation, found.signed, found.gone, strict=True)
    return Table(
        "faithfulness-randomisation",
        "Grad-CAM while the network's weights are scrambled",
        ("scrambled", "rank correlation with the real map", "before rectifying", "blank maps"),
        [
            *(
                (
                    f"{'+ ' if n else ''}{name}",
                    mean_over_patients(as_shown, rows, data),
                    mean_over_patients(signed, rows, data),
                    int(gone),
                )
                for n, ((name, _), as_shown, signed, gone) in enumerate(stages)
            ),
            (
                "nothing, but another patient's image",
                None,
                mean_over_patients(found.between, rows, data),
                None,
            ),
        ],
        f"Cascading randomisation (Adebayo et al., NeurIPS 2018) on {len(rows)} images, mean of "
        f"{DRAWS} scrambled networks for each. Weights are permuted, so that activations keep "
        f"their scale. Grad-CAM as it is shown is compared on the {shown} images on which the real "
        "one is not blank; scrambled maps that are blank have no ranks, so they count as 0 (the "
        f"map is gone), and are counted among {DRAWS * shown}. Where many are blank, the second "
        "column says more: Grad-CAM before its negative cells are set to 0. The last row is the "
        "likeness that comes for free: of the same finding on different patients' images. With "
        f"everything scrambled, neither column may be beyond {LIMIT}.",
    )


def masking_table(found: MaskingCurves, data: EvaluationData) -> Table:
    """One row for each order: both areas, their difference, and the time for a map."""
    deletion, insertion = found.areas(found.deletion), found.areas(found.insertion)

    def cells(order: str) -> tuple[Cell, ...]:
        values = (deletion[order], insertion[order], insertion[order] - deletion[order])
        seconds = found.seconds.get(order)
        return (
            order,
            *(mean_over_patients(v, found.rows, data) for v in values),
            float(seconds.mean()) if seconds is not None and len(seconds) else None,
        )

    return Table(
        "faithfulness-masking",
        "Deletion and insertion of the similarity with the nearest case",
        ("order", "deletion area", "insertion area", "insertion - deletion", "seconds a map"),
        [cells(order) for order in ORDERS],
        f"{len(found.rows)} images, each with its nearest case of another patient. Cells of "
        "the image are replaced by a blurred copy in the order of the evidence (deletion: a low "
        "area is good), or come back in that order (insertion: a high area is good). Areas are "
        f"mean cosines. Chance is the '{RANDOM}', mean of {RANDOM_ORDERS} for each image; read "
        "backwards a random order is a random order, so its two areas are equal. XAITK: "
        f"{data.settings.perturbations} masks of RISE, each cell kept with a chance of {KEPT}, "
        "the same blurred copy behind them: it asks the network with the very blur that it is then "
        "judged with. Seconds: one forward pass and a product for similarity evidence, all masked "
        "passes for XAITK; both on this machine, in this run.",
    )


def images_table(
    measured: QuantusScores,
    randomised: CascadingRandomisation,
    masked: MaskingCurves,
    data: EvaluationData,
) -> Table:
    """Every value of every image; a CSV file only."""
    rows: list[tuple[Cell, ...]] = []

    def add(row: int, finding: int | None, measure: str, of: str, value: float) -> None:
        case_id = data.queries.case_ids[row]
        name = None if finding is None else data.findings[finding]
        rows.append((case_id, name, measure, of, float(value) if np.isfinite(value) else None))

    for of, scores in (("Grad-CAM", measured.grad_cam), ("random map", measured.random)):
        for measure, values in scores.items():
            for sample, value in zip(measured.samples, values, strict=True):
                add(sample.row, sample.finding, measure, of, value)
    for sample, value in zip(measured.samples, mask_shares(measured.samples), strict=True):
        add(sample.row, sample.finding, "share of the image", "boxes", value)
    for measure, stages in (
        ("rank correlation", randomised.correlation),
        ("rank correlation before rectifying", randomised.signed),
    ):
        for (stage, _), values in zip(STAGES, stages, strict=True):
            for sample, value in zip(randomised.samples, values, strict=True):
                add(sample.row, sample.finding, measure, f"scrambled to {stage}", value)
    for measure, curves in (("deletion", masked.deletion), ("insertion", masked.insertion)):
        for order, areas in masked.areas(curves).items():
            for row, value in zip(masked.rows, areas, strict=True):
                add(row, None, f"{measure} area", order, value)
    columns = ("case_id", "finding", "measure", "of", "value")
    return Table("faithfulness-images", "Every image", columns, rows, shown=False)


def mask_shares(samples: Sequence[ExplanationSample]) -> npt.NDArray[np.float64]:
    """Share of the image in each sample's boxes, float64 (n,), NaN where there are none."""
    return np.array([np.nan if u.mask is None else u.mask.mean() for u in samples], np.float64)
