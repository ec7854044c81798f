"""The figures of the three parts, as the report prints them, with what chance is beside each."""

from collections.abc import Mapping, Sequence
from math import log
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ..bootstrap import estimate
from ..material import Material
from ..section import Cell, Estimate, Table
from .cascade import DRAWS, LIMIT, STAGES, Cascade
from .masking import ORDERS, RANDOM, RANDOM_ORDERS, Masked
from .perturbation import KEPT
from .quantus_metrics import (
    BASELINE,
    COMPLEXITY,
    FLIPPING,
    LIPSCHITZ,
    MASS,
    NOISE,
    Measured,
)
from .units import Unit

POSTER: Mapping[str, float] = MappingProxyType(
    {LIPSCHITZ: 2.05, FLIPPING: 0.55, MASS: 0.18, COMPLEXITY: 10.32}
)
"""Table 2 of the poster, on Grad-CAM of its own network; its settings are not known."""

POSTER_SIZE = 224
BETTER: Mapping[str, str] = MappingProxyType(
    {LIPSCHITZ: "lower", FLIPPING: "lower", MASS: "higher", COMPLEXITY: "lower"}
)


def mean_over_patients(
    values: npt.ArrayLike, rows: Sequence[int], material: Material
) -> Estimate | None:
    """Mean of one value for each row of the queries, with its interval over patients."""
    patients = [material.queries.patients[row] for row in rows]
    return estimate(values, patients, material.settings.resamples, material.settings.seed)


def quantus_table(found: Measured, material: Material) -> Table:
    """One row for each metric: Grad-CAM, a random map, chance or limit, and the poster."""
    settings = material.settings
    pixels = material.encoder.checkpoint.card.spec.size**2
    rows = [unit.row for unit in found.units]

    def row(name: str, title: str, limit: Cell, divisor: float, poster: float) -> tuple[Cell, ...]:
        means = (
            mean_over_patients(scores[name] / divisor, rows, material)
            for scores in (found.grad_cam, found.random)
        )
        return (title, BETTER[name], *means, limit, poster)

    share = mean_over_patients(mask_shares(found.units), rows, material)
    most, poster_most = log(pixels), log(POSTER_SIZE**2)
    return Table(
        "faithfulness-quantus",
        "Quantus on Grad-CAM",
        ("metric", "better", "Grad-CAM", "random map", "chance or limit", "poster"),
        [
            row(LIPSCHITZ, LIPSCHITZ, None, 1, POSTER[LIPSCHITZ]),
            row(FLIPPING, FLIPPING, None, 1, POSTER[FLIPPING]),
            row(MASS, MASS, share, 1, POSTER[MASS]),
            row(COMPLEXITY, COMPLEXITY, most, 1, POSTER[COMPLEXITY]),
            row(
                *(COMPLEXITY, f"{COMPLEXITY}, share of its maximum", 1.0, most),
                POSTER[COMPLEXITY] / poster_most,
            ),
        ],
        f"{len(found.units)} films, one finding of each; {found.blank} more were left out because "
        "their Grad-CAM is 0 everywhere, which no metric is defined for. Random map: uniform noise "
        "in Grad-CAM's cells, as smooth as it, on the same films; where no other chance is given, "
        f"that is it. {LIPSCHITZ}: the largest shift of the map, divided by that of the film, over "
        f"{settings.lipschitz_samples} copies with Gaussian noise of {NOISE} (grey values 0 to 1); "
        f"the random map is drawn anew for each. {FLIPPING}: mean uncalibrated probability while "
        f"pixels become '{BASELINE}' (the film's darkest) in the order "
        f"of the map, in {settings.flipping_steps} steps. {MASS}: share "
        "of the map inside the radiologists' boxes; chance is the boxes' share of the film. "
        f"{COMPLEXITY}: entropy of the map over {pixels} pixels; the limit is its maximum, that of "
        "a uniform map. Each map is divided by its own maximum first. The poster's figures (its "
        "Table 2) come from another network, other films and settings that are not known: they are "
        "not comparable at face value.",
    )


def cascade_table(found: Cascade, material: Material) -> Table:
    """One row for each stage, and the likeness of different films' maps."""
    rows = [unit.row for unit in found.units]
    shown = int(np.isfinite(found.correlation[-1]).sum())
    stages = zip(STAGES, found.correlation, found.signed, found.gone, strict=True)
    return Table(
        "faithfulness-cascade",
        "Grad-CAM while the network's weights are scrambled",
        ("scrambled", "rank correlation with the real map", "before rectifying", "blank maps"),
        [
            *(
                (
                    f"{'+ ' if n else ''}{name}",
                    mean_over_patients(as_shown, rows, material),
                    mean_over_patients(signed, rows, material),
                    int(gone),
                )
                for n, ((name, _), as_shown, signed, gone) in enumerate(stages)
            ),
            (
                "nothing, but another patient's film",
                None,
                mean_over_patients(found.between, rows, material),
                None,
            ),
        ],
        f"Cascading randomisation (Adebayo et al., NeurIPS 2018) on {len(rows)} films, mean of "
        f"{DRAWS} scrambled networks for each. Weights are permuted, so that activations keep "
        f"their scale. Grad-CAM as it is shown is compared on the {shown} films on which the real "
        "one is not blank; scrambled maps that are blank have no ranks, so they count as 0 (the "
        f"map is gone), and are counted among {DRAWS * shown}. Where many are blank, the second "
        "column says more: Grad-CAM before its negative places are set to 0. The last row is the "
        "likeness that comes for free: of the same finding on different patients' films. With "
        f"everything scrambled, neither column may be beyond {LIMIT}.",
    )


def masking_table(found: Masked, material: Material) -> Table:
    """One row for each order: both areas, their difference, and the time for a map."""
    deletion, insertion = found.areas(found.deletion), found.areas(found.insertion)

    def cells(order: str) -> tuple[Cell, ...]:
        values = (deletion[order], insertion[order], insertion[order] - deletion[order])
        seconds = found.seconds.get(order)
        return (
            order,
            *(mean_over_patients(v, found.rows, material) for v in values),
            float(seconds.mean()) if seconds is not None and len(seconds) else None,
        )

    return Table(
        "faithfulness-masking",
        "Deletion and insertion of the similarity with the nearest case",
        ("order", "deletion area", "insertion area", "insertion - deletion", "seconds a map"),
        [cells(order) for order in ORDERS],
        f"{len(found.rows)} films, each with its nearest indexed case of another patient. Cells of "
        "the film are replaced by a blurred copy in the order of the evidence (deletion: a low "
        "area is good), or come back in that order (insertion: a high area is good). Areas are "
        f"mean cosines. Chance is the '{RANDOM}', mean of {RANDOM_ORDERS} for each film; read "
        "backwards a random order is a random order, so its two areas are equal. XAITK: "
        f"{material.settings.perturbations} masks of RISE, each cell kept with a chance of {KEPT}, "
        "the same blurred copy behind them: it asks the network with the very blur that it is then "
        "judged with. Seconds: one forward pass and a product for similarity evidence, all masked "
        "passes for XAITK; both on this machine, in this run.",
    )


def films_table(measured: Measured, cascaded: Cascade, masked: Masked, material: Material) -> Table:
    """Every value of every film; a CSV file only."""
    rows: list[tuple[Cell, ...]] = []

    def add(row: int, finding: int | None, measure: str, of: str, value: float) -> None:
        case_id = material.queries.case_ids[row]
        name = None if finding is None else material.findings[finding]
        rows.append((case_id, name, measure, of, float(value) if np.isfinite(value) else None))

    for of, scores in (("Grad-CAM", measured.grad_cam), ("random map", measured.random)):
        for measure, values in scores.items():
            for unit, value in zip(measured.units, values, strict=True):
                add(unit.row, unit.finding, measure, of, value)
    for unit, value in zip(measured.units, mask_shares(measured.units), strict=True):
        add(unit.row, unit.finding, "share of the film", "boxes", value)
    for measure, stages in (
        ("rank correlation", cascaded.correlation),
        ("rank correlation before rectifying", cascaded.signed),
    ):
        for (stage, _), values in zip(STAGES, stages, strict=True):
            for unit, value in zip(cascaded.units, values, strict=True):
                add(unit.row, unit.finding, measure, f"scrambled to {stage}", value)
    for measure, curves in (("deletion", masked.deletion), ("insertion", masked.insertion)):
        for order, areas in masked.areas(curves).items():
            for row, value in zip(masked.rows, areas, strict=True):
                add(row, None, f"{measure} area", order, value)
    columns = ("case_id", "finding", "measure", "of", "value")
    return Table("faithfulness-films", "Every film", columns, rows, shown=False)


def mask_shares(units: Sequence[Unit]) -> npt.NDArray[np.float64]:
    """Share of the film in each unit's boxes, float64 (n,), NaN where there are none."""
    return np.array([np.nan if u.mask is None else u.mask.mean() for u in units], np.float64)
