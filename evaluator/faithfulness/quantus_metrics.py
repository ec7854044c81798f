"""Four metrics of Quantus (Hedström et al., JMLR 2023) on Grad-CAM, and on random maps beside it.

They are the four of the poster's Table 2: how far a map moves when the film is perturbed a little
(Local Lipschitz Estimate), how fast the probability falls when the places that the map points at
are blackened (Pixel Flipping), how much of the map lies in the radiologists' boxes (Relevance Mass
Accuracy), and over how many pixels it is spread (Complexity).

What Quantus sees is the PyTorch network with a sigmoid behind each logit. Its own ``softmax=True``
is wrong here: it would let findings compete that may well occur together. Calibration is left out:
it is fitted to films, and a film half blackened is none of those.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from torch import Tensor, nn

from evaluator.faithfulness.units import Unit
from evaluator.settings import Settings
from xemplar.checkpoint import Checkpoint
from xemplar.errors import InvalidArgument
from xemplar.explain import grad_cam
from xemplar.network import features
from xemplar.network.pytorch import DenseNetwork, load_weights
from xemplar.preprocess import onto_film

Maps: TypeAlias = npt.NDArray[np.float32]
Scores: TypeAlias = Mapping[str, npt.NDArray[np.float64]]
Explain: TypeAlias = Callable[..., Maps]
"""Quantus calls it with the keywords model, inputs (N, 1, s, s), targets (N,) -> (N, 1, s, s)."""

LIPSCHITZ = "Local Lipschitz Estimate"
FLIPPING = "Pixel Flipping"
MASS = "Relevance Mass Accuracy"
COMPLEXITY = "Complexity"

NOISE = 0.1
"""Standard deviation of the noise of the Local Lipschitz Estimate, of grey values in [0, 1]."""

BASELINE = "black"
"""Pixel Flipping's replacement: Quantus's word for the film's own darkest grey value."""

BATCH = 8
"""Films that Quantus gets at once; results do not depend on it."""

COMMON: Mapping[str, Any] = MappingProxyType(
    {"abs": False, "normalise": True, "disable_warnings": True, "display_progressbar": False}
)


class Probabilities(nn.Module):
    """The network as Quantus wants it: films (N, 1, s, s) -> a probability for each finding."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        card = checkpoint.card
        self.spec = card.spec
        self.network = DenseNetwork(card.architecture, len(card.findings), card.spec)
        load_weights(self.network, checkpoint.weights)
        self.eval()

    def forward(self, films: Tensor) -> Tensor:
        """Uncalibrated probabilities, float (N, F) in [0, 1], of films, float (N, 1, s, s)."""
        return torch.sigmoid(self.network(films[:, 0]))


@dataclass(frozen=True, eq=False)
class Measured:
    """What Quantus says of n units whose Grad-CAM shows anything.

    Attributes:
        units: the n units.
        blank: how many others were left out, as their Grad-CAM is 0 everywhere.
        grad_cam: metric -> float64 (n,) of Grad-CAM; NaN where it is not defined.
        random: likewise of maps of uniform noise, on the same films.
    """

    units: tuple[Unit, ...]
    blank: int
    grad_cam: Scores
    random: Scores


def cams_of(model: Probabilities, inputs: Maps, targets: npt.NDArray[np.int64]) -> Maps:
    """Grad-CAM by one forward pass in closed form, for Quantus.

    Args:
        model: the network.
        inputs: float (N, 1, s, s), grey values, in [0, 1] but for noise.
        targets: int (N,), the finding to explain on each.

    Returns:
        float32 (N, 1, s, s), >= 0, brought to the input's frame bilinearly. A map that is 0
        everywhere is given as NaN: Quantus refuses a batch of nothing but zeros, and
        `by_own_maximum` turns it back.
    """
    linear = model.network.dense.classifier
    weights, bias = (t.detach().numpy() for t in (linear.weight, linear.bias))
    with torch.inference_mode():
        maps = model.network.maps(torch.as_tensor(inputs[:, 0], dtype=torch.float32)).numpy()
    cams = grad_cam(features(maps, weights, bias), weights)[np.arange(len(targets)), targets]
    spec = model.spec
    large = np.stack([onto_film(cam, spec, spec.size, spec.size) for cam in cams])[:, None]
    large[large.max(axis=(1, 2, 3)) <= 0] = np.nan
    return large


def by_own_maximum(maps: Maps) -> Maps:
    """Each map (N, 1, s, s) divided by its own maximum; blank ones (NaN) become 0.

    Quantus's default divides a whole batch by one maximum, so that a film's score would depend on
    the films beside it. A map that vanishes under noise counts as having moved by all its length.
    """
    scaled: Maps = np.nan_to_num(maps / np.abs(maps).max(axis=(1, 2, 3), keepdims=True))
    return scaled


def measure(
    checkpoint: Checkpoint,
    inputs: npt.NDArray[np.uint8],
    units: Sequence[Unit],
    settings: Settings,
    on_progress: Callable[[float], None],
) -> Measured:
    """Run the four metrics on Grad-CAM and on random maps of the same films.

    Args:
        checkpoint: of the network.
        inputs: uint8 (N, s, s), all films; units name their rows.
        units: films and findings.
        settings: lipschitz_samples, flipping_steps, seed.
        on_progress: called with the share that is done, in [0, 1].
    """
    model = Probabilities(checkpoint)
    random = np.random.default_rng(settings.seed)

    def noise(model: nn.Module, inputs: Maps, targets: object) -> Maps:  # noqa: ARG001 Quantus's
        return random.random(inputs.shape, np.float32)

    shown: list[Unit] = []
    scores: tuple[list[Scores], list[Scores]] = ([], [])
    for start in range(0, len(units), BATCH):
        batch = units[start : start + BATCH]
        films = inputs[[unit.row for unit in batch]][:, None].astype(np.float32) / np.float32(255)
        targets = np.array([unit.finding for unit in batch])
        keep = np.isfinite(cams_of(model, films, targets)[:, 0, 0, 0])
        kept = [unit for unit, is_shown in zip(batch, keep, strict=True) if is_shown]
        if kept:
            shown += kept
            for explain, found in zip((cams_of, noise), scores, strict=True):
                found.append(judge(model, explain, films[keep], kept, settings, random))
        on_progress(min(1.0, (start + BATCH) / len(units)))
    return Measured(tuple(shown), len(units) - len(shown), _joined(scores[0]), _joined(scores[1]))


def judge(
    model: nn.Module,
    explain: Explain,
    films: Maps,
    units: Sequence[Unit],
    settings: Settings,
    random: np.random.Generator,
) -> Scores:
    """The four metrics of one explanation of n films.

    Args:
        model: films, float32 (N, 1, s, s) in [0, 1] -> values (N, F).
        explain: gives the maps, and gives them anew for perturbed films.
        films: float32 (n, 1, s, s) in [0, 1].
        units: finding and mask of each film; none of the maps may be blank.
        settings: lipschitz_samples, flipping_steps.
        random: where the noise comes from.

    Returns:
        metric -> float64 (n,). Relevance Mass Accuracy is NaN where there is no mask.
    """
    targets = np.array([unit.finding for unit in units])
    maps = explain(model=model, inputs=films, targets=targets)
    asked: dict[str, Any] = {
        "model": model,
        "x_batch": films,
        "y_batch": targets,
        "a_batch": maps,
        "channel_first": True,
        "softmax": False,
        "batch_size": len(films),
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
        MASS: _mass_accuracy(asked, options, units),
        COMPLEXITY: np.array(Complexity(**{**options, "abs": True})(**asked), np.float64),
    }


def flipping_area(
    asked: Mapping[str, Any], options: Mapping[str, Any], steps: int
) -> npt.NDArray[np.float64]:
    """Mean height of the Pixel Flipping curve, float64 (n,), in the model's units.

    Quantus's curve has ``steps`` points, after each step; the unperturbed film is not among them.
    The area is taken here, as Quantus 0.6 calls ``numpy.trapz``, which numpy 2.4 no longer has,
    and it is divided by its width, so that it is a probability however many steps there are.
    """
    pixels = int(np.prod(asked["x_batch"].shape[2:]))
    metric = PixelFlipping(
        features_in_step=_pixels_in_step(pixels, steps), perturb_baseline=BASELINE, **options
    )
    with warnings.catch_warnings():
        # the first places to be blackened may be black already, as beside the patient
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
    asked: Mapping[str, Any], options: Mapping[str, Any], units: Sequence[Unit]
) -> npt.NDArray[np.float64]:
    """Share of each map that lies in its mask, float64 (n,), NaN where there is no mask."""
    shares = np.full(len(units), np.nan)
    masks = {n: unit.mask for n, unit in enumerate(units) if unit.mask is not None}
    if masks:
        boxed = list(masks)
        chosen = {name: asked[name][boxed] for name in ("x_batch", "y_batch", "a_batch")}
        chosen["s_batch"] = np.stack(list(masks.values()))[:, None]
        shares[boxed] = RelevanceMassAccuracy(**options)(**{**asked, **chosen})
    return shares


def _joined(parts: Sequence[Scores]) -> Scores:
    names = (LIPSCHITZ, FLIPPING, MASS, COMPLEXITY)
    return {name: np.concatenate([np.empty(0), *(part[name] for part in parts)]) for name in names}
