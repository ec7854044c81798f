"""Four metrics of Quantus (Hedström et al., JMLR 2023) on Grad-CAM, and on random maps beside it.

They are the four of the poster's Table 2: how far a map moves when the image is perturbed a little
(Local Lipschitz Estimate), how fast the probability falls when the pixels that the map points at
are blackened (Pixel Flipping), how much of the map lies in the radiologists' boxes (Relevance Mass
Accuracy), and over how many pixels it is spread (Complexity).
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from quantus.metrics.complexity.complexity import Complexity
from quantus.metrics.faithfulness.pixel_flipping import PixelFlipping
from quantus.metrics.localisation.relevance_mass_accuracy import RelevanceMassAccuracy
from quantus.metrics.robustness.local_lipschitz_estimate import LocalLipschitzEstimate
from scipy.integrate import trapezoid
from torch import nn

from xemplar.errors import InvalidArgument
from xemplar.model.checkpoint import Checkpoint

from ..settings import EvaluationSettings
from .quantus_network import (
    Maps,
    Probabilities,
    by_own_maximum,
    cams_of,
    random_maps,
)
from .samples import ExplanationSample

Scores: TypeAlias = Mapping[str, npt.NDArray[np.float64]]
Explain: TypeAlias = Callable[..., Maps]
"""Quantus calls it with the keywords model, inputs (N, 1, s, s), targets (N,) -> (N, 1, s, s)."""

LIPSCHITZ = "Local Lipschitz Estimate"
FLIPPING = "Pixel Flipping"
MASS = "Relevance Mass Accuracy"
COMPLEXITY = "Complexity"
BEFORE = "probability before Pixel Flipping"

NOISE = 0.1
"""Standard deviation of the noise of the Local Lipschitz Estimate, of grey values in [0, 1]."""

BASELINE = "black"
"""Pixel Flipping's replacement: Quantus's word for the image's own darkest grey value."""

BATCH = 8
"""Images of a batch for Quantus."""

TRIED = 4
"""Most images that are tried for each that is measured: many maps are blank."""

COMMON: Mapping[str, Any] = MappingProxyType(
    {"abs": False, "normalise": True, "disable_warnings": True, "display_progressbar": False}
)


@dataclass(frozen=True, eq=False)
class QuantusScores:
    """Quantus metrics of n samples whose Grad-CAM is not blank.

    Attributes:
        samples: the n samples.
        blank: how many others were tried and left out, as their Grad-CAM is 0 everywhere.
        grad_cam: metric -> float64 (n,) of Grad-CAM; NaN where it is not defined.
        random: likewise of maps of chance, on the same images.
    """

    samples: tuple[ExplanationSample, ...]
    blank: int
    grad_cam: Scores
    random: Scores


def measure(
    checkpoint: Checkpoint,
    inputs: npt.NDArray[np.uint8],
    samples: Iterable[ExplanationSample],
    settings: EvaluationSettings,
    on_progress: Callable[[float], None],
) -> QuantusScores:
    """Run the four metrics on Grad-CAM and on random maps of the same images.

    Args:
        checkpoint: of the network.
        inputs: uint8 (N, s, s), all images; samples name their rows.
        samples: images and findings, in the order in which they are tried, until there are
            settings.quantus_samples whose Grad-CAM is not blank.
        settings: quantus_samples, lipschitz_samples, flipping_steps and seed count.
        on_progress: called with the share that is done, in [0, 1].

    Raises:
        InvalidArgument: flipping_steps does not divide the pixels of the input.
    """
    model = Probabilities(checkpoint)
    random = np.random.default_rng(settings.seed)
    wanted, tried, blank = settings.quantus_samples, 0, 0
    shown: list[ExplanationSample] = []
    found: tuple[list[Scores], list[Scores]] = ([], [])
    coming = islice(samples, TRIED * wanted)
    while len(shown) < wanted and (batch := list(islice(coming, BATCH))):
        images = inputs[[sample.row for sample in batch]][:, None].astype(np.float32) / np.float32(
            255
        )
        maps = cams_of(model, images, np.array([sample.finding for sample in batch]))
        drawn = np.flatnonzero(np.isfinite(maps[:, 0, 0, 0]))
        tried, blank = tried + len(batch), blank + len(batch) - len(drawn)
        kept = drawn[: wanted - len(shown)]
        if len(kept):
            chosen = [batch[n] for n in kept]
            shown += chosen
            unmoved = _unmoved(random_maps(model, images[kept], random))
            for explain, scores in zip((cams_of, unmoved), found, strict=True):
                scores.append(judge(model, explain, images[kept], chosen, settings, random))
        on_progress(min(1.0, max(len(shown) / wanted, tried / (TRIED * wanted))))
    return QuantusScores(tuple(shown), blank, _joined(found[0]), _joined(found[1]))


def _unmoved(maps: Maps) -> Explain:
    """Explains with these maps, whatever becomes of the images: one draw for each image.

    A map drawn anew for each noisy copy would make every other explanation look steady.
    """

    def explain(**_: object) -> Maps:
        return maps.copy()  # Quantus scales what it gets in place

    return explain


def judge(
    model: nn.Module,
    explain: Explain,
    images: Maps,
    samples: Sequence[ExplanationSample],
    settings: EvaluationSettings,
    random: np.random.Generator,
) -> Scores:
    """The four metrics of one explanation of n images, and where Pixel Flipping begins.

    Args:
        model: images, float32 (N, 1, s, s) in [0, 1] -> values (N, F).
        explain: gives the maps, and gives them anew for perturbed images.
        images: float32 (n, 1, s, s) in [0, 1].
        samples: finding and mask of each image; none of the maps may be blank.
        settings: lipschitz_samples, flipping_steps.
        random: where the noise comes from.

    Returns:
        metric -> float64 (n,). Relevance Mass Accuracy is NaN where there is no mask.
    """
    targets = np.array([sample.finding for sample in samples])
    with torch.inference_mode():
        before = model(torch.from_numpy(images)).numpy()[np.arange(len(targets)), targets]
    maps = explain(model=model, inputs=images, targets=targets)
    asked: dict[str, Any] = {
        "model": model,
        "x_batch": images,
        "y_batch": targets,
        "a_batch": maps,
        "channel_first": True,
        "softmax": False,
        "batch_size": len(images),
    }
    options: dict[str, Any] = {**COMMON, "normalise_func": by_own_maximum}

    def gaussian(arr: Maps, indices: object, **moments: float) -> Maps:  # noqa: ARG001 Quantus's
        # as Quantus's own noise, but from our generator and not from numpy's global one
        drawn = random.normal(moments["perturb_mean"], moments["perturb_std"], arr.shape)
        return (arr + drawn).astype(np.float32)

    lipschitz = LocalLipschitzEstimate(
        nr_samples=settings.lipschitz_samples,
        perturb_func=gaussian,
        perturb_std=NOISE,
        **options,
    )
    return {
        LIPSCHITZ: np.array(lipschitz(**asked, explain_func=explain), np.float64),
        FLIPPING: flipping_area(asked, options, settings.flipping_steps),
        BEFORE: before.astype(np.float64),
        MASS: _mass_accuracy(asked, options, samples),
        COMPLEXITY: np.array(Complexity(**{**options, "abs": True})(**asked), np.float64),
    }


def flipping_area(
    asked: Mapping[str, Any], options: Mapping[str, Any], steps: int
) -> npt.NDArray[np.float64]:
    """Mean height of the Pixel Flipping curve, float64 (n,), in the model's units.

    Quantus's curve has ``steps`` points, after each step; the unperturbed image is not among them.
    The area is taken here, as Quantus 0.6 calls ``numpy.trapz``, which numpy 2.4 no longer has,
    and it is divided by its width, so that it is a probability however many steps there are.
    """
    pixels = int(np.prod(asked["x_batch"].shape[2:]))
    metric = PixelFlipping(
        features_in_step=_pixels_in_step(pixels, steps), perturb_baseline=BASELINE, **options
    )
    with warnings.catch_warnings():
        # the first pixels to be blackened may be black already, as beside the patient
        warnings.filterwarnings(
            "ignore", r"The settings for perturbing input e\.g\., 'perturb_func'", UserWarning
        )
        curves = np.array(metric(**asked), np.float64)
    return np.asarray(trapezoid(curves, axis=1) / (curves.shape[1] - 1))


def _pixels_in_step(pixels: int, steps: int) -> int:
    """Pixels that are blackened in one step; Quantus wants steps of equal size."""
    if steps < 2 or pixels % steps:
        raise InvalidArgument(
            f"flipping_steps is {steps}, but {pixels} pixels must divide into 2 or more equal steps"
        )
    return pixels // steps


def _mass_accuracy(
    asked: Mapping[str, Any], options: Mapping[str, Any], samples: Sequence[ExplanationSample]
) -> npt.NDArray[np.float64]:
    """Share of each map that lies in its mask, float64 (n,), NaN where there is no mask."""
    shares = np.full(len(samples), np.nan)
    masks = {n: sample.mask for n, sample in enumerate(samples) if sample.mask is not None}
    if masks:
        boxed = list(masks)
        chosen = {name: asked[name][boxed] for name in ("x_batch", "y_batch", "a_batch")}
        chosen["s_batch"] = np.stack(list(masks.values()))[:, None]
        shares[boxed] = RelevanceMassAccuracy(**options)(**{**asked, **chosen})
    return shares


def _joined(parts: Sequence[Scores]) -> Scores:
    names = (LIPSCHITZ, FLIPPING, BEFORE, MASS, COMPLEXITY)
    return {name: np.concatenate([np.empty(0), *(part[name] for part in parts)]) for name in names}
